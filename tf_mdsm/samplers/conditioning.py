"""What is known of the images that a chain is to find."""

import abc
import dataclasses

import tensorflow as tf

from tf_mdsm import randomness

__all__ = ["Known", "KnownPixels"]


class Known(abc.ABC):
    """What is known of some images, to be put into the state of a chain.

    A gradient means something only where all parts of an image have one noise level: so what is
    known is noised to the level of the moment.

    Attributes:
        seeds: one seed an image, int64 [B], each >= 0.
    """

    seeds: tf.Tensor

    @abc.abstractmethod
    def project(self, state: tf.Tensor) -> tf.Tensor:
        """The images, [B, H, W, C], that agree with what is known and else with the state."""

    @abc.abstractmethod
    def project_noisy(self, state: tf.Tensor, step: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        """The same with what is known under noise of level sigma, fresh at each step."""

    @abc.abstractmethod
    def with_values_from(self, state: tf.Tensor) -> "Known":
        """The same parts, known to be what they are in the state."""

    @abc.abstractmethod
    def of(self, place: tf.Tensor) -> "Known":
        """What is known of one image of the batch, as a batch of one."""

    def _noise(self, step: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        return randomness.normal(self.seeds, (step, 0), "known_pixels", tuple(state.shape[1:]))


@dataclasses.dataclass(frozen=True)
class KnownPixels(Known):
    """Some pixels are known, and stay what they are bit for bit.

    Attributes:
        images: float32 [B, H, W, C]; the unknown pixels may hold anything finite.
        mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
        seeds: one seed an image, int64 [B], each >= 0.
    """

    images: tf.Tensor
    mask: tf.Tensor
    seeds: tf.Tensor

    def project(self, state: tf.Tensor) -> tf.Tensor:
        return tf.where(self.mask > 0.5, self.images, state)

    def project_noisy(self, state: tf.Tensor, step: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        is_known = tf.broadcast_to(self.mask > 0.5, tf.shape(self.images))
        return tf.where(is_known, self.images + sigma * self._noise(step, self.images), state)

    def with_values_from(self, state: tf.Tensor) -> "KnownPixels":
        return dataclasses.replace(self, images=state)

    def of(self, place: tf.Tensor) -> "KnownPixels":
        parts = (self.images, self.mask, self.seeds)
        return KnownPixels(*(tf.gather(part, place)[None] for part in parts))
