"""Conditioning a sampler on the result of a linear operator."""

import dataclasses

import tensorflow as tf

from tf_mdsm.restoration.operators import LinearOperator
from tf_mdsm.samplers.conditioning import Known

__all__ = ["KnownMeasurement"]


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

    measurement: LinearOperator
    values: tf.Tensor
    seeds: tf.Tensor

    def project(self, state: tf.Tensor) -> tf.Tensor:
        error = self.values - self.measurement.measure(state)
        return state + self.measurement.adjoint(error)

    def project_noisy(self, state: tf.Tensor, step: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        noise = self.measurement.measure(self._noise(step, state))
        return self.project(state) + sigma * self.measurement.adjoint(noise)

    def with_values_from(self, state: tf.Tensor) -> "KnownMeasurement":
        return dataclasses.replace(self, values=self.measurement.measure(state))

    def of(self, place: tf.Tensor) -> "KnownMeasurement":
        values, seeds = (tf.gather(part, place)[None] for part in (self.values, self.seeds))
        return KnownMeasurement(self.measurement, values, seeds)
