"""Gaussians whose density and samples are exact: where annealing begins."""

import math

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.starts import gaussian_start

__all__ = ["GaussianReference", "isotropic_reference"]


class GaussianReference:
    """N(mean, C + sigma^2 I), with C as `ImageStatistics` has it.

    C = sum_i (variances_i - residual) v_i v_i' + residual I, every variance at least the residual.
    Its energy is -log of its density, so that its partition function is 1.

    Args:
        mean: float32 [H, W, C].
        components: orthonormal v_i, float32 [r, H, W, C].
        variances: along them, [r].
        residual_variance: along all other directions.
        sigma: what widens it, in pixel units.

    Raises:
        InvalidArgument: if it is not wider than 0 in all directions.
    """

    def __init__(
        self,
        mean: np.ndarray,
        components: np.ndarray,
        variances: np.ndarray,
        residual_variance: float,
        sigma: float,
    ):
        width = sigma**2 + residual_variance
        if not (np.isfinite(width) and width > 0):
            raise InvalidArgument("sigma", "make the reference wider than 0", sigma)
        along = np.maximum(np.asarray(variances, float) - residual_variance, 0.0) + width
        self._mean = tf.constant(mean, tf.float32)
        self._components = tf.constant(components.reshape(len(along), mean.size), tf.float32)
        # The precision along v_i, less the one along all other directions.
        self._excess = tf.constant(1 / along - 1 / width, tf.float32)
        self._precision = 1 / width
        rest = mean.size - len(along)
        log_determinant = np.log(along).sum() + rest * math.log(width)
        self._log_normaliser = 0.5 * (mean.size * math.log(2 * math.pi) + log_determinant)
        # Along the narrowest direction.
        self.smallest_deviation = math.sqrt(min(along, default=width) if not rest else width)
        self.image_shape = tuple(mean.shape)
        self.start_fn = gaussian_start(mean, components, variances, residual_variance, sigma)

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """-log density [B] and score [B, H, W, C] of images [B, H, W, C]."""
        offset = images - self._mean
        flat = tf.reshape(offset, [-1, self._components.shape[1]])
        along = tf.matmul(flat, self._components, transpose_b=True)
        inside = tf.reshape(tf.matmul(along * self._excess, self._components), tf.shape(offset))
        slope = self._precision * offset + inside
        energy = 0.5 * tf.reduce_sum(offset * slope, axis=(1, 2, 3)) + self._log_normaliser
        return energy, -slope


def isotropic_reference(
    image_shape: tuple[int, int, int], mean: float = 0.5, sigma: float = 1.0
) -> GaussianReference:
    """mean + sigma N(0, I).

    Args:
        image_shape: height, width, channels.
        mean: of every pixel.
        sigma: standard deviation, in pixel units.
    """
    nothing = np.zeros((0, *image_shape), np.float32)
    return GaussianReference(
        np.full(image_shape, mean, np.float32), nothing, np.zeros(0), 0.0, sigma
    )
