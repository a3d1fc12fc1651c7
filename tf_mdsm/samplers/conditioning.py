"""What is known of the images that a chain is to find."""

import abc
import dataclasses

import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.restoration.operators import Measurement

__all__ = ["Known", "KnownMeasurement", "KnownPixels"]


class Known(abc.ABC):
    """What is known of some images, to be put into the state of a chain.

    A gradient means something only where all parts of an image have one noise level: so what is
    known is noised to the level of the moment.

    Attributes:
        seeds: one seed an image, int64 [B], each >= 0.
    """

    seeds: tf.Tensor

    @abc.abstractmethod
    def put_in(self, state: tf.Tensor) -> tf.Tensor:
        """The images, [B, H, W, C], that agree with what is known and else with the state."""

    @abc.abstractmethod
    def put_in_noised(self, state: tf.Tensor, step: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        """The same with what is known under noise of level sigma, fresh at each step."""

    @abc.abstractmethod
    def as_in(self, state: tf.Tensor) -> "Known":
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

    def put_in(self, state: tf.Tensor) -> tf.Tensor:
        return tf.where(self.mask > 0.5, self.images, state)

    def put_in_noised(self, state: tf.Tensor, step: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        is_known = tf.broadcast_to(self.mask > 0.5, tf.shape(self.images))
        return tf.where(is_known, self.images + sigma * self._noise(step, self.images), state)

    def as_in(self, state: tf.Tensor) -> "KnownPixels":
        return dataclasses.replace(self, images=state)

    def of(self, place: tf.Tensor) -> "KnownPixels":
        parts = (self.images, self.mask, self.seeds)
        return KnownPixels(*(tf.gather(part, place)[None] for part in parts))


@dataclasses.dataclass(frozen=True)
class KnownMeasurement(Known):
    """The result y = A x of a linear measurement is known, up to rounding.

    With orthonormal rows A'A projects onto what is measured, so that
    x + A'(y - A x) agrees with y and is the nearest such image to x (Kadkhodaie and Simoncelli,
    "Solving linear inverse problems using the prior implicit in a denoiser", section 3).

    Attributes:
        measurement: A.
        values: y, what it made of the images, float32 [B, …].
        seeds: one seed an image, int64 [B], each >= 0.
    """

    measurement: Measurement
    values: tf.Tensor
    seeds: tf.Tensor

    def put_in(self, state: tf.Tensor) -> tf.Tensor:
        error = self.values - self.measurement.measure(state)
        return state + self.measurement.adjoint(error)

    def put_in_noised(self, state: tf.Tensor, step: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        noise = self.measurement.measure(self._noise(step, state))
        return self.put_in(state) + sigma * self.measurement.adjoint(noise)

    def as_in(self, state: tf.Tensor) -> "KnownMeasurement":
        return dataclasses.replace(self, values=self.measurement.measure(state))

    def of(self, place: tf.Tensor) -> "KnownMeasurement":
        values, seeds = (tf.gather(part, place)[None] for part in (self.values, self.seeds))
        return KnownMeasurement(self.measurement, values, seeds)
