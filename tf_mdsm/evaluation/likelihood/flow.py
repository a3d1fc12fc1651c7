"""The density of the blind probability flow, a normalized density whatever the energy is.

The denoiser D(x) = x - sigma0^2 dE/dx moves an image along s = log sigma by

    dx/ds = sigma0^2 dE/dx

from s_0 = log sigma_min up to S = log sigma_max. The sampler follows it backwards from its start.
With the Laplacian of the energy as the divergence of this field,

    log p(z) = log start(x(S)) + sigma0^2 int_{s_0}^{S} laplacian E(x(s)) ds,   x(s_0) = z

is the density of what the sampler draws with ever smaller steps (Chen et al. 2018, "Neural ordinary
differential equations"; Song et al. 2021, "Score-based generative modeling through stochastic
differential equations", section 4.3). The field does not depend on s.
"""

import dataclasses
import math
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
from scipy import integrate

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.chain_bound import NoisyGuesses, log_normal_density
from tf_mdsm.evaluation.likelihood.pixel_decoder import PixelDecoder
from tf_mdsm.evaluation.likelihood.start_density import StartDensity

__all__ = ["FlowBound", "FlowDensities", "FlowDensity", "FlowTerms"]

# Dormand and Prince's method of order 5.
_METHOD = "RK45"


class EnergyWithScore(Protocol):
    """What the flow needs of a model: `EnergyModel` has it."""

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Energies [B] and scores -dE/dx [B, H, W, C] of images."""
        ...


@dataclasses.dataclass(frozen=True)
class FlowDensities:
    """Log densities of some noisy images by the flow.

    Attributes:
        log_density: log p(z) of each image, the mean over the probes, float64 [N], in nats.
        by_probe: the same with each probe alone, float64 [N, P].
        ends: x(S), where the flow arrives at the noise of the start, float32 [N, H, W, C].
        evaluations: evaluations of the field, each a gradient and P Laplacians.
        is_exact: whether the Laplacians are exact.
    """

    log_density: np.ndarray
    by_probe: np.ndarray
    ends: np.ndarray
    evaluations: int
    is_exact: bool

    @property
    def probe_error(self) -> np.ndarray:
        """Standard error of each log density by its probes, [N]; NaN with one probe.

        It is 0 where the Laplacian is exact.
        """
        count = self.by_probe.shape[1]
        if count > 1:
            return self.by_probe.std(axis=1, ddof=1) / math.sqrt(count)
        return np.full(len(self.by_probe), 0.0 if self.is_exact else np.nan)


class FlowDensity:
    """The density of the blind probability flow from noise `sigma_min` to a start.

    The Laplacian is estimated by Hutchinson's v' H v with vectors v of random signs, which stay the
    same along the flow of an image, or computed along all coordinates. The flow is solved
    by Dormand and Prince's method of order 5 with adaptive steps (`scipy.integrate.solve_ivp`). The
    images of a batch share their steps, so a value depends on the others within the tolerance.

    Args:
        model: the energy, and sigma0.
        density: of the start, at its level sigma_max.
        image_shape: height, width, channels.
        sigma0: sigma0 of the loss, in pixel units.
        sigma_min: noise level at which the flow ends, in pixel units.
        num_probes: number P of probes. 0: the exact Laplacian, at the price of as many probes as an
            image has values.
        tolerance: largest error of a step, in pixel units (root mean square over pixels), and 100
            times as much of an image's log density, in nats.

    Attributes:
        is_exact: whether the Laplacian is exact.

    Raises:
        InvalidArgument: unless 0 < sigma_min < sigma_max, and for a tolerance that is not positive.
    """

    def __init__(
        self,
        model: EnergyWithScore,
        density: StartDensity,
        image_shape: tuple[int, ...],
        *,
        sigma0: float,
        sigma_min: float,
        num_probes: int,
        tolerance: float = 1e-3,
    ):
        if not 0 < sigma_min < density.sigma:
            raise InvalidArgument("sigma_min", "lie between 0 and the start's level", sigma_min)
        if not tolerance > 0:
            raise InvalidArgument("tolerance", "be positive", tolerance)
        if num_probes < 0:
            raise InvalidArgument("num_probes", "not be negative", num_probes)
        self.sigma_min, self.tolerance = sigma_min, tolerance
        self._density, self._shape = density, tuple(image_shape)
        self._size = math.prod(image_shape)
        self.is_exact = num_probes == 0
        self._num_probes = num_probes or self._size

        def field(images, probes):
            """dx/ds [B, H, W, C], and v' (dx/ds)' v for each probe, [P, B]."""
            count = tf.shape(probes)[0]
            copies: Any = [count, 1, 1, 1, 1]
            tiled = tf.reshape(tf.tile(images[None], copies), [-1, *self._shape])
            vectors = tf.reshape(probes, [-1, *self._shape])
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(tiled)
                velocity = -(sigma0**2) * model.energy_and_score(tiled)[1]
                along = tf.reduce_sum(vectors * velocity)
            derivative: Any = tape.gradient(along, tiled)
            curvature = tf.reduce_sum(vectors * derivative, axis=(1, 2, 3))
            batch = tf.shape(images)[0]
            return velocity[:batch], tf.reshape(curvature, [count, batch])

        signature = [
            tf.TensorSpec([None, *self._shape], tf.float32),
            tf.TensorSpec([None, None, *self._shape], tf.float32),
        ]
        self._field: Any = tf.function(field, input_signature=signature, autograph=False)

    def of(self, noisy: np.ndarray, seeds: np.ndarray) -> FlowDensities:
        """Log densities of noisy images z, float [N, H, W, C], with seeds of their probes, [N].

        Raises:
            RunError: if the flow cannot be solved, or is not finite.
        """
        ends, integrals, evaluations = self._solve(noisy, seeds, upwards=True)
        return self._densities(self._density.log_density(ends), integrals, ends, evaluations)

    def sample(self, starts: np.ndarray, seeds: np.ndarray) -> FlowDensities:
        """The noisy images at sigma_min into which the flow takes points of the start, backwards.

        Args:
            starts: points of the start, float [N, H, W, C].
            seeds: seeds of the probes, [N].

        Returns:
            as `of`; `ends` are images at sigma_min, and the log densities are theirs.
        """
        ends, integrals, evaluations = self._solve(starts, seeds, upwards=False)
        return self._densities(self._density.log_density(starts), integrals, ends, evaluations)

    def _densities(
        self, at_start: np.ndarray, integrals: np.ndarray, ends: np.ndarray, evaluations: int
    ) -> FlowDensities:
        """The log densities at the start, [N], plus the integrals of the divergence, [P, N]."""
        # Where the Laplacian is exact, its parts along all coordinates are summed.
        integrals = integrals.sum(axis=0, keepdims=True) if self.is_exact else integrals
        by_probe = at_start[:, None] + integrals.T
        return FlowDensities(by_probe.mean(axis=1), by_probe, ends, evaluations, self.is_exact)

    def _solve(
        self, images: np.ndarray, seeds: np.ndarray, *, upwards: bool
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Follows the flow: images at its end, integrals of the divergence [P, N], evaluations."""
        count, pixels = len(images), images.size
        probes = tf.constant(self._probes(seeds))
        span = math.log(self._density.sigma / self.sigma_min)
        # Errors are root mean squares over all numbers. So scaled, an integral counts as much as
        # all pixels of its image, with 100 times their tolerance.
        scale = 100 / self._size**0.5

        def derivative(_: float, state: np.ndarray) -> np.ndarray:
            current = state[:pixels].reshape(images.shape).astype(np.float32)
            velocity, curvature = self._field(tf.constant(current), probes)
            rates = np.concatenate([velocity.numpy().ravel(), curvature.numpy().ravel() / scale])
            if not np.isfinite(rates).all():
                raise RunError("the probability flow is not finite: its energy has no such density")
            return rates.astype(np.float64) * (1 if upwards else -1)

        initial = np.zeros(pixels + self._num_probes * count)
        initial[:pixels] = np.asarray(images, np.float64).ravel()
        solution = integrate.solve_ivp(
            derivative,
            (0.0, span),
            initial,
            method=_METHOD,
            t_eval=(span,),
            rtol=1e-12,
            atol=self.tolerance,
        )
        if not solution.success:
            raise RunError(f"the probability flow cannot be solved: {solution.message}")
        end = solution.y[:, -1]
        integrals = end[pixels:].reshape(self._num_probes, count) * scale
        ends = end[:pixels].reshape(images.shape).astype(np.float32)
        return ends, integrals if upwards else -integrals, solution.nfev

    def _probes(self, seeds: np.ndarray) -> np.ndarray:
        """Vectors of signs [P, N, H, W, C], or all unit vectors where the Laplacian is exact."""
        count = len(seeds)
        if self.is_exact:
            units = np.eye(self._size, dtype=np.float32).reshape(self._size, 1, *self._shape)
            return np.broadcast_to(units, (self._size, count, *self._shape))
        shape = (self._num_probes, *self._shape)
        numbers = randomness.uniform(tf.constant(seeds, tf.int64), (0, 0), "probes", shape)
        return np.where(np.moveaxis(numbers.numpy(), 1, 0) < 0.5, -1, 1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class FlowTerms:
    """The terms of the bound of -log P of some images by the flow, in nats.

    Attributes:
        noisy: log N(z; x, sigma_min^2 I) - log p(z) at one draw z of each image, float64 [N].
        decoding: -log P(x | D(z)), float64 [N].
        probe_error: as of `FlowDensities`; 0 where the Laplacian is exact, NaN with one probe, [N].
        evaluations: evaluations of the field for each image, int64 [N].
    """

    noisy: np.ndarray
    decoding: np.ndarray
    probe_error: np.ndarray
    evaluations: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The bound of -log P(x) of each image, float64 [N]."""
        return self.noisy + self.decoding


@dataclasses.dataclass(frozen=True)
class FlowBound:
    """The bound of -log P(x) of images with gray levels, by noise of the flow's smallest level.

    With z = x + sigma_min noise, which has the density q(z | x),

        -log P(x) <= E[log q(z | x) - log p(z) - log P(x | z)]

    where p is the flow's density, and P(x | z) the decoder's with the denoised image. It is
    dequantization with Gaussian noise (Ho et al. 2019, "Flow++", equation 12).

    Attributes:
        guesses: the denoiser.
        flow: the flow.
        decoder: of the image.
    """

    guesses: NoisyGuesses
    flow: FlowDensity
    decoder: PixelDecoder

    def terms(self, images: np.ndarray, seeds: np.ndarray) -> FlowTerms:
        """The terms of the bound for images in [0, 1], [N, H, W, C], with seeds [N]."""
        clean, sigma = np.asarray(images, np.float64), self.flow.sigma_min
        noisy, guess = self.guesses.at_level(images, sigma, 0, seeds)
        found = self.flow.of(noisy, seeds)
        return FlowTerms(
            noisy=log_normal_density(noisy, clean, sigma) - found.log_density,
            decoding=-self.decoder.log_probability(clean, guess),
            probe_error=found.probe_error,
            evaluations=np.full(len(images), found.evaluations),
        )
