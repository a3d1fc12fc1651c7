"""Conditioning a sampler on known data: known pixels, for inpainting, and their base class."""

import abc
import dataclasses

import tensorflow as tf

from tf_mdsm import randomness

__all__ = ["NOTHING_KNOWN", "KnownData", "KnownPixels"]


class KnownData(abc.ABC):
    """Known data about images, with which the images of a sampler must agree.

    The score is meaningful only where all parts of an image have the same noise level. Therefore
    the known data get noise of the level that the sampler has reached.

    Attributes:
        seeds: one seed for each image, int64 [B], each >= 0.
    """

    seeds: tf.Tensor

    @abc.abstractmethod
    def project(self, images: tf.Tensor) -> tf.Tensor:
        """Images that agree with the known data, and otherwise with `images` [B, H, W, C]."""

    @abc.abstractmethod
    def project_noisy(
        self, images: tf.Tensor, step: tf.Tensor | int, sigma: tf.Tensor | float
    ) -> tf.Tensor:
        """As `project`, but the known data have noise, independent from step to step.

        Args:
            images: float32 [B, H, W, C].
            step: index of the sampler's step, which selects the noise.
            sigma: noise level, in pixel units.
        """

    @abc.abstractmethod
    def with_values_from(self, images: tf.Tensor) -> "KnownData":
        """The same kind of data about the same parts, with their values in `images`."""

    def _noise(self, step: tf.Tensor | int, images: tf.Tensor) -> tf.Tensor:
        """Standard normal noise of the shape of `images`."""
        return randomness.normal(self.seeds, (step, 0), "known_pixels", tuple(images.shape[1:]))


class _NothingKnown(KnownData):
    """No known data, for plain sampling: all images stay as they are."""

    def project(self, images: tf.Tensor) -> tf.Tensor:
        """The images."""
        return images

    def project_noisy(
        self, images: tf.Tensor, step: tf.Tensor | int, sigma: tf.Tensor | float
    ) -> tf.Tensor:
        """The images."""
        del step, sigma
        return images

    def with_values_from(self, images: tf.Tensor) -> "_NothingKnown":
        """No known data."""
        del images
        return self


NOTHING_KNOWN = _NothingKnown()


@dataclasses.dataclass(frozen=True)
class KnownPixels(KnownData):
    """Known pixels, for inpainting; in the final images they are unchanged, bit for bit.

    Attributes:
        images: float32 [B, H, W, C]; uint8 is divided by 255. The unknown pixels may have any
            finite value.
        mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
        seeds: one seed for each image, int64 [B], each >= 0.
    """

    images: tf.Tensor
    mask: tf.Tensor
    seeds: tf.Tensor

    def __post_init__(self) -> None:
        images = tf.convert_to_tensor(self.images)
        pixels = tf.cast(images, tf.float32)
        if images.dtype == tf.uint8:
            pixels = pixels / 255.0
        object.__setattr__(self, "images", pixels)

    def project(self, images: tf.Tensor) -> tf.Tensor:
        """Images with the known pixels, and else the pixels of `images` [B, H, W, C]."""
        return tf.where(self.mask > 0.5, self.images, images)

    def project_noisy(
        self, images: tf.Tensor, step: tf.Tensor | int, sigma: tf.Tensor | float
    ) -> tf.Tensor:
        """As `project`, with noise of level sigma on the known pixels."""
        is_known = tf.broadcast_to(self.mask > 0.5, tf.shape(self.images))
        return tf.where(is_known, self.images + sigma * self._noise(step, self.images), images)

    def with_values_from(self, images: tf.Tensor) -> "KnownPixels":
        """The same mask, with the known pixels of `images` [B, H, W, C]."""
        return dataclasses.replace(self, images=images)
