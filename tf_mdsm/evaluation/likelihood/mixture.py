"""A mixture of Gaussians as the reference of annealed importance sampling."""

import math

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.reference import Reference
from tf_mdsm.samplers.starts import MixtureStart

__all__ = ["MixtureReference"]


class MixtureReference(Reference):
    """The mixture of Gaussians of a `MixtureStart`, with its noise, on a domain.

    Args:
        start: the mixture, with noise of a level above 0.
        domain: the box to which the mixture is truncated.

    Raises:
        InvalidArgument: without noise, or if less than 1 % of the draws would lie in the domain.
    """

    def __init__(self, start: MixtureStart, domain: Domain):
        if not start.sigma > 0:
            raise InvalidArgument("sigma", "make the reference wider than 0", start.sigma)
        rank, size = len(start.components), start.mean.size
        noise = start.sigma**2
        covariances = start.covariances.astype(np.float64) + noise * np.eye(rank)
        residuals = start.residual_variances.astype(np.float64) + noise
        log_weights = np.log(start.weights.astype(np.float64) / start.weights.sum())
        # log weight - 1/2 log det(2 pi covariance) of each Gaussian.
        log_factors = log_weights - 0.5 * (
            np.linalg.slogdet(covariances)[1]
            + (size - rank) * np.log(residuals)
            + size * math.log(2 * math.pi)
        )
        self._mean = tf.constant(start.mean)
        self._components = tf.constant(start.components.reshape(rank, size))
        self._centers = tf.constant(start.centers)
        self._precisions = tf.constant(np.linalg.inv(covariances), tf.float32)
        self._residual_precisions = tf.constant(1 / residuals, tf.float32)
        self._log_factors = tf.constant(log_factors, tf.float32)
        smallest_variance = np.linalg.eigvalsh(covariances).min(initial=residuals.min())
        super().__init__(start, start.mean.shape, math.sqrt(smallest_variance), domain)

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns -log density [B] and score [B, H, W, C] of images [B, H, W, C]."""
        offset = tf.reshape(images - self._mean, [-1, self._components.shape[1]])
        along = tf.matmul(offset, self._components, transpose_b=True)
        across = offset - tf.matmul(along, self._components)
        # Of each Gaussian k: precision (coordinates - center), [B, K, r], and log density, [B, K].
        deviation = along[:, None, :] - self._centers
        pull = tf.einsum("kij,bkj->bki", self._precisions, deviation)
        across_squares = tf.reduce_sum(across**2, axis=1, keepdims=True)
        squares = tf.reduce_sum(deviation * pull, axis=2)
        squares += across_squares * self._residual_precisions
        logs = self._log_factors - 0.5 * squares
        shares = tf.nn.softmax(logs)
        pull_along = tf.einsum("bk,bki->bi", shares, pull)
        pull_across = tf.linalg.matvec(shares, self._residual_precisions)[:, None] * across
        gradient = tf.matmul(pull_along, self._components) + pull_across
        return -tf.reduce_logsumexp(logs, axis=1), -tf.reshape(gradient, tf.shape(images))
