"""Gaussian references of annealed importance sampling."""

import math

import numpy as np
import tensorflow as tf
from scipy import special

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.bounds import LogMass
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.reference import Reference, require_mass
from tf_mdsm.samplers.starts import GaussianStart

__all__ = ["GaussianReference", "isotropic_reference"]


class GaussianReference(Reference):
    """The Gaussian N(mean, C + sigma^2 I) on a domain, with the covariance C of `ImageStatistics`.

    C = sum_i (variances_i - residual) v_i v_i' + residual I. Every variance is at least the
    residual variance. Without components the pixels are independent: the mass in the domain is then
    a product of error functions, and draws outside are refused pixel by pixel.

    Args:
        mean: float32 [H, W, C].
        components: orthonormal v_i, float32 [r, H, W, C].
        variances: variance along each v_i, [r].
        residual_variance: variance along all other directions.
        sigma: standard deviation of the isotropic noise that is added to C, in pixel units.
        domain: the box to which the Gaussian is truncated.

    Raises:
        InvalidArgument: if the variance is not positive in some direction, or if less than 1 % of
            the draws (of the pixels, where they are independent) would lie in the domain.
    """

    def __init__(
        self,
        mean: np.ndarray,
        components: np.ndarray,
        variances: np.ndarray,
        residual_variance: float,
        sigma: float,
        *,
        domain: Domain,
    ):
        residual = sigma**2 + residual_variance
        if not (np.isfinite(residual) and residual > 0):
            raise InvalidArgument("sigma", "make the reference wider than 0", sigma)
        along = np.maximum(np.asarray(variances, float) - residual_variance, 0.0) + residual
        self._mean = tf.constant(mean, tf.float32)
        self._components = tf.constant(components.reshape(len(along), mean.size), tf.float32)
        # The precision along each v_i, minus the precision along all other directions.
        self._excess_precision = tf.constant(1 / along - 1 / residual, tf.float32)
        self._residual_precision = 1 / residual
        num_residual = mean.size - len(along)
        log_determinant = np.log(along).sum() + num_residual * math.log(residual)
        self._log_normalizer = 0.5 * (mean.size * math.log(2 * math.pi) + log_determinant)
        smallest_variance = residual if num_residual else min(along, default=residual)
        self._has_independent_pixels = len(along) == 0
        start = GaussianStart(mean, components, variances, residual_variance, sigma)
        super().__init__(start, mean.shape, math.sqrt(smallest_variance), domain)

    def _keeps(self, images: tf.Tensor) -> tf.Tensor:
        if self._has_independent_pixels:
            return self.domain.contains_pixels(images)
        return super()._keeps(images)

    def _mass(self) -> LogMass:
        return self._product_of_masses() if self._has_independent_pixels else super()._mass()

    def _product_of_masses(self) -> LogMass:
        """The mass in the domain, of independent pixels."""
        mean = self._mean.numpy().astype(np.float64)
        scores = [(wall - mean) / self.smallest_std for wall in (self.domain.low, self.domain.high)]
        masses = special.ndtr(scores[1]) - special.ndtr(scores[0])
        require_mass(masses.min())
        value = float(np.log(masses).sum())
        return LogMass(value, error=0.0, low=value, high=value)

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns -log density [B] and score [B, H, W, C] of images [B, H, W, C]."""
        offset = images - self._mean
        flat = tf.reshape(offset, [-1, self._components.shape[1]])
        along = tf.matmul(flat, self._components, transpose_b=True)
        projected = tf.matmul(along * self._excess_precision, self._components)
        gradient = self._residual_precision * offset + tf.reshape(projected, tf.shape(offset))
        energy = 0.5 * tf.reduce_sum(offset * gradient, axis=(1, 2, 3)) + self._log_normalizer
        return energy, -gradient


def isotropic_reference(
    image_shape: tuple[int, ...], mean: float = 0.5, sigma: float = 1.0, *, domain: Domain
) -> GaussianReference:
    """The Gaussian with one mean for all pixels and covariance sigma^2 I, on a domain.

    Args:
        image_shape: height, width, channels.
        mean: mean of every pixel.
        sigma: standard deviation, in pixel units.
        domain: the box to which the Gaussian is truncated.
    """
    return GaussianReference(
        mean=np.full(image_shape, mean, np.float32),
        components=np.zeros((0, *image_shape), np.float32),
        variances=np.zeros(0),
        residual_variance=0.0,
        sigma=sigma,
        domain=domain,
    )
