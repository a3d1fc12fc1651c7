"""Annealing paths whose log Z is known: compiled ones, and one with exact moves."""

import functools
import types

import numpy as np
import tensorflow as tf
from scipy import special

from tf_mdsm.evaluation.likelihood.adaptation import Adaptation, adapt
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling
from tf_mdsm.evaluation.likelihood.bounds import LogMass
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.gaussian import isotropic_reference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath

# A domain so wide that nothing lies outside.
EVERYWHERE = Domain(1_000.0)
SHAPES = {4: (2, 2, 1), 64: (8, 8, 1), 1024: (32, 32, 1)}
SHARE, APART, MEAN, STD = 0.3, 2.0, 0.3, 0.5
# A temperature, and the standard deviation of exp(-E / T) with the energy `gaussian`.
TEMPERATURE, WARM_STD = 2.0, STD * 2.0**0.5


def gaussian(x):
    """0.3 + 0.5 N(0, I), not normalized."""
    return tf.reduce_sum((x - MEAN) ** 2, (1, 2, 3)) / (2 * STD**2), (MEAN - x) / STD**2


def quartic(x):
    return tf.reduce_sum(x**4, (1, 2, 3)), -4 * x**3


def mixture(x):
    """Two modes of weights 0.3 and 0.7, eight standard deviations apart; the energy minus 3."""
    offset = APART / np.sqrt(x.shape[1] * x.shape[2])
    logs = [
        np.log(share) - tf.reduce_sum((x - side * offset) ** 2, (1, 2, 3)) / (2 * STD**2)
        for share, side in ((SHARE, -1), (1 - SHARE, 1))
    ]
    first, second = (
        tf.exp(log - tf.reduce_logsumexp(logs, 0))[:, None, None, None] for log in logs
    )
    score = (first * (-offset - x) + second * (offset - x)) / STD**2
    return -tf.reduce_logsumexp(logs, 0) - 3.0, score


def samples(energy, shape, count: int) -> np.ndarray:
    """Exact samples of exp(-energy)."""
    random = np.random.default_rng(1)
    if energy is quartic:
        magnitudes = random.gamma(0.25, 1, (count, *shape)) ** 0.25
        return np.float32(magnitudes * random.choice([-1, 1], magnitudes.shape))
    center = MEAN
    if energy is mixture:
        signs = np.where(random.uniform(size=count) < SHARE, -1, 1).reshape(-1, 1, 1, 1)
        center = signs * APART / np.sqrt(np.prod(shape))
    return np.float32(center + STD * random.standard_normal((count, *shape)))


def true_log_z(energy, size: int) -> float:
    if energy is quartic:
        return size * (np.log(2) + special.gammaln(1.25))
    return size / 2 * np.log(2 * np.pi * STD**2) + (3.0 if energy is mixture else 0.0)


@functools.cache
def annealing_path(energy, size: int, **options) -> AnnealingPath:
    """The path from N(0, I) to an energy, compiled once for all tests."""
    reference = isotropic_reference(SHAPES[size], 0.0, 1.0, domain=EVERYWHERE)
    return AnnealingPath(energy, reference, **options)


def adapted_annealing(
    energy, size: int, intervals: int, chains: int = 16
) -> tuple[AnnealedImportanceSampling, Adaptation]:
    """Annealed importance sampling along an adapted schedule, and the adaptation."""
    path = annealing_path(energy, size)
    adaptation = adapt(path, num_betas=16, seeds=2**40 + np.arange(chains), rounds=5)
    return AnnealedImportanceSampling(path, *adaptation.schedule(intervals)), adaptation


class ExactPath:
    """The path from N(0, 1) to E = x^2 / (2 std^2) - offset in one dimension, without TensorFlow.

    A move is an independent sample of the density at beta, whatever the state before. So the
    distribution of E_ref - E is known at every state of a chain. Moves with step size epsilon are
    accepted in exp(-epsilon / (1 + beta)) of the cases, or never if `always_refused`.

    Attributes:
        moves: (counter, beta, step size) of all moves so far.
    """

    def __init__(self, std: float, offset: float = 0.0, *, always_refused: bool = False):
        self.reference = types.SimpleNamespace(smallest_std=1.0, log_mass=LogMass(0, 0, 0, 0))
        self.log_z = np.log(2 * np.pi * std**2) / 2 + offset
        self.moves: list[tuple[int, float, float]] = []
        self._std, self._offset, self._always_refused = std, offset, always_refused

    def sample_reference(self, seeds: np.ndarray) -> np.ndarray:
        return self._sample(seeds, 0.0, 2**32)

    def energy_differences(self, images: np.ndarray) -> np.ndarray:
        squares = images[:, 0, 0, 0] ** 2 / 2
        energies = squares / self._std**2 - self._offset
        return np.float32(squares + np.log(2 * np.pi) / 2 - energies)

    def advance(self, images, seeds, *, betas, step_sizes, counters):
        differences = np.empty((len(seeds), len(betas)), np.float32)
        for i, (beta, counter) in enumerate(zip(betas, counters, strict=True)):
            images = self._sample(seeds, float(beta), int(counter))
            differences[:, i] = self.energy_differences(images)
            self.moves.append((int(counter), beta, step_sizes[i]))
        accepted = np.exp(-np.asarray(step_sizes) / (1 + np.asarray(betas)))
        accepted = np.broadcast_to(np.float32(accepted), differences.shape)
        return images, differences, 0 * accepted if self._always_refused else accepted

    def mean_difference(self, beta: np.ndarray | float) -> np.ndarray | float:
        """Mean of E_ref - E under the density at beta."""
        excess = (1 - 1 / self._std**2) / 2
        return excess / self._precision(beta) + np.log(2 * np.pi) / 2 + self._offset

    def deviation(self, beta: np.ndarray | float) -> np.ndarray | float:
        """Standard deviation of E_ref - E under the density at beta."""
        return abs(1 - 1 / self._std**2) / (2**0.5 * self._precision(beta))

    def _precision(self, beta: np.ndarray | float) -> np.ndarray | float:
        return 1 - beta + beta / self._std**2

    def _sample(self, seeds: np.ndarray, beta: float, counter: int) -> np.ndarray:
        random = np.random.default_rng([counter, int(seeds[0])])
        values = random.standard_normal((len(seeds), 1, 1, 1)) / self._precision(beta) ** 0.5
        return np.float32(values)
