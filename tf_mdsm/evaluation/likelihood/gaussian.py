"""Gaussian references on a domain, with known density and exact samples: the start of AIS."""

import math

import numpy as np
import tensorflow as tf
from scipy import special

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.bounds import LogMass, estimate_log_mass
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.samplers.starts import GaussianStart
from tf_mdsm.system.seeds import MAX_SEED

__all__ = ["GaussianReference", "isotropic_reference"]


# Draws of a Gaussian by which its mass in the domain is estimated, and draws at a time.
_MASS_DRAWS, _MASS_BATCH = 16_384, 512

# Seeds of these draws, above those of all chains.
_FIRST_MASS_SEED = MAX_SEED + 2**61 + 2**60

# The smallest share of draws inside the domain at which a Gaussian is a useful reference.
_MIN_SHARE = 0.01


class GaussianReference:
    """The Gaussian N(mean, C + sigma^2 I) on a domain, with the covariance C of `ImageStatistics`.

    C = sum_i (variances_i - residual) v_i v_i' + residual I. Every variance is at least the
    residual variance.

    The energy is -log of the density q of the whole Gaussian. So on the domain D its partition
    function is the mass m = q(D), and q / m is the density of its samples. Weights of annealed
    chains from there have the mean Z / m, where Z is the integral of exp(-E / T) over D:
    log Z = log m + log E[weight]. Without components the pixels are independent, and m is a
    product of error functions. Otherwise the share of draws inside estimates it, and the
    confidence interval of log m widens the bounds of log Z.

    Args:
        mean: float32 [H, W, C].
        components: orthonormal v_i, float32 [r, H, W, C].
        variances: variance along each v_i, [r].
        residual_variance: variance along all other directions.
        sigma: standard deviation of the isotropic noise that is added to C, in pixel units.
        domain: the box to which the Gaussian is truncated.

    Attributes:
        domain: as given.
        log_mass: log m, the logarithm of the whole Gaussian's probability of the domain.
        image_shape: (H, W, C).
        smallest_std: standard deviation along the narrowest direction, in pixel units.

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
        self.smallest_std = math.sqrt(smallest_variance)
        self.image_shape = tuple(mean.shape)
        self._start = GaussianStart(mean, components, variances, residual_variance, sigma)
        self._has_independent_pixels = len(along) == 0
        self.domain = domain
        self.log_mass = self._product_of_masses() if not len(along) else self._estimate_mass()

    def sample(self, seeds: tf.Tensor) -> tf.Tensor:
        """Exact samples, inside the domain, float32 [B, H, W, C], for seeds, int64 [B], each >= 0.

        Draws outside are refused: independent pixels one by one, others as whole images.
        """

        def draw(number, images, is_inside):
            drawn = self._start.noisy_images(seeds, self.image_shape, number)
            images = tf.where(is_inside, images, drawn)
            return number + 1, images, self._keeps(images)

        state = draw(tf.constant(0), *self._nothing_drawn(seeds))
        return tf.while_loop(lambda _, __, kept: ~tf.reduce_all(kept), draw, state)[1]

    def _nothing_drawn(self, seeds: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Images before the first draw, and that none of them is kept."""
        images = tf.zeros([tf.shape(seeds)[0], *self.image_shape])
        return images, tf.zeros_like(images, tf.bool)

    def _keeps(self, images: tf.Tensor) -> tf.Tensor:
        """Which pixels of draws are kept, bool [B, H, W, C]."""
        is_inside = self.domain.contains_pixels(images)
        if self._has_independent_pixels:
            return is_inside
        return is_inside & self.domain.contains(images)[:, None, None, None]

    def _product_of_masses(self) -> LogMass:
        """The mass in the domain, of independent pixels."""
        mean = self._mean.numpy().astype(np.float64)
        scores = [(wall - mean) / self.smallest_std for wall in (self.domain.low, self.domain.high)]
        masses = special.ndtr(scores[1]) - special.ndtr(scores[0])
        _require_mass(masses.min())
        value = float(np.log(masses).sum())
        return LogMass(value, error=0.0, low=value, high=value)

    def _estimate_mass(self) -> LogMass:
        """The mass in the domain, from draws whose seeds no chain has."""
        inside = 0
        for first in range(0, _MASS_DRAWS, _MASS_BATCH):
            seeds = tf.range(first, first + _MASS_BATCH, dtype=tf.int64) + _FIRST_MASS_SEED
            drawn = self._start.noisy_images(seeds, self.image_shape)
            inside += int(tf.math.count_nonzero(self.domain.contains(drawn)))
        _require_mass(inside / _MASS_DRAWS)
        return estimate_log_mass(inside, _MASS_DRAWS)

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns -log density [B] and score [B, H, W, C] of images [B, H, W, C]."""
        offset = images - self._mean
        flat = tf.reshape(offset, [-1, self._components.shape[1]])
        along = tf.matmul(flat, self._components, transpose_b=True)
        projected = tf.matmul(along * self._excess_precision, self._components)
        gradient = self._residual_precision * offset + tf.reshape(projected, tf.shape(offset))
        energy = 0.5 * tf.reduce_sum(offset * gradient, axis=(1, 2, 3)) + self._log_normalizer
        return energy, -gradient


def _require_mass(share: float) -> None:
    if not share >= _MIN_SHARE:
        requirement = "be so wide that it holds 1 % of the reference, or reference_sigma smaller"
        raise InvalidArgument("domain_margin", requirement, f"{100 * share:.2g} % inside")


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
