"""Conditioning a sampler on the values of a linear operator, y = A x."""

import dataclasses

import tensorflow as tf

from tf_mdsm.restoration.operators import LinearOperator
from tf_mdsm.samplers.conditioning import KnownData

__all__ = ["KnownMeasurement"]


@dataclasses.dataclass(frozen=True)
class KnownMeasurement(KnownData):
    """Known values y = A x of a linear operator; the final images agree with y up to rounding.

    With orthonormal rows, A'A is the projection onto what is measured. Then x + A'(y - A x) agrees
    with y, and it is the nearest such image to x (Kadkhodaie and Simoncelli, "Solving linear
    inverse problems using the prior implicit in a denoiser", section 3).

    Attributes:
        operator: A.
        values: y, float32 [B, …].
        seeds: one seed for each image, int64 [B], each >= 0.
    """

    operator: LinearOperator
    values: tf.Tensor
    seeds: tf.Tensor

    def project(self, images: tf.Tensor) -> tf.Tensor:
        """Nearest images to x that agree with y: x + A'(y - A x)."""
        error = self.values - self.operator.measure(images)
        return images + self.operator.adjoint(error)

    def project_noisy(
        self, images: tf.Tensor, step: tf.Tensor | int, sigma: tf.Tensor | float
    ) -> tf.Tensor:
        """As `project`, with noise on what is measured: x + A'(y - A x) + sigma A'A z."""
        noise = self.operator.measure(self._noise(step, images))
        return self.project(images) + sigma * self.operator.adjoint(noise)

    def with_values_from(self, images: tf.Tensor) -> "KnownMeasurement":
        """The same operator, with the values of `images` [B, H, W, C]."""
        return dataclasses.replace(self, values=self.operator.measure(images))
