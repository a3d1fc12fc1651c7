"""Samplers whose law at a temperature is exact: every move may be refused."""

import abc
import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.base import EnergyAndScoreFn, Sampler
from tf_mdsm.samplers.conditioning import Known
from tf_mdsm.samplers.kernels import differentiable_energy, move_each
from tf_mdsm.samplers.schedules import require_schedule
from tf_mdsm.samplers.starts import StartFn

__all__ = ["HamiltonianMonteCarlo", "Metropolis", "MetropolisLangevin"]


@dataclasses.dataclass(frozen=True)
class Metropolis(Sampler):
    """Markov chains with Metropolis' test, under a falling temperature, and D(x) at the end.

    Each move leaves exp(-E / T) as it is: the law at constant T is exact in the limit of many
    moves, whatever the step size (calibrated). What the temperature's fall leaves behind is not
    corrected. At temperature T the images are those noised by sigma0 sqrt(T).

    The moves are TensorFlow Probability's, with a kernel and a seed for each image (`moves`).

    Attributes:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        start_fn: seeds to the images where the chains begin.
        temperatures: T of each step, positive, never rising, float32 [steps].
        step_sizes: epsilon of each step, in pixel units, float32 [steps].
        moves: of each step, at least 1.
        sigma0: the loss' fixed kernel width.
    """

    energy_and_score_fn: EnergyAndScoreFn
    start_fn: StartFn
    temperatures: np.ndarray
    step_sizes: np.ndarray
    moves: int
    sigma0: float

    def __post_init__(self):
        require_schedule(
            "temperatures",
            self.temperatures,
            "be positive, and never rise",
            lambda t: t.min() > 0 and (np.diff(t) <= 0).all(),
        )
        require_schedule("step_sizes", self.step_sizes, "be positive", lambda e: e.min() > 0)
        if len(self.step_sizes) != len(self.temperatures):
            one_each = f"be as many as temperatures ({len(self.temperatures)})"
            raise InvalidArgument("step_sizes", one_each, len(self.step_sizes))

    @abc.abstractmethod
    def kernel(
        self, log_prob_fn: Callable[[tf.Tensor], tf.Tensor], step_size: tf.Tensor
    ) -> tfp.mcmc.TransitionKernel:
        """One move of one image, [H, W, C], under a law given by its log-density."""

    @property
    @abc.abstractmethod
    def gradient_evaluations_per_move(self) -> int:
        """Gradients that a move costs, that at its beginning not counted."""

    @property
    def num_steps(self) -> int:
        return len(self.temperatures)

    @property
    def max_gradient_evaluations(self) -> int:
        return self.num_steps * (1 + self.moves * self.gradient_evaluations_per_move) + 1

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        return "temperature", self.temperatures

    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, known: Known | None
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        images, energy, _ = self.move(images, seeds, number, known)
        return images, energy, True

    def move(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, known: Known | None = None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The moves of step `number`.

        Returns:
            the images after them; their energy before, [B]; the share of accepted moves, [B].
        """
        temperature = tf.constant(self.temperatures)[number]
        if known:
            images = known.project_noisy(images, number, self.sigma0 * tf.sqrt(temperature))
            known = known.with_values_from(images)

        def kernel(place: tf.Tensor) -> tfp.mcmc.TransitionKernel:
            def log_prob(image):
                return -self._energy(image, known and known.of(place)) / temperature

            return self.kernel(log_prob, tf.constant(self.step_sizes)[number])

        images, log_density, accepted = move_each(
            kernel, images, seeds, number, "metropolis", self.moves
        )
        return images, -temperature * log_density, accepted

    def finish(self, images: tf.Tensor, known: Known | None = None) -> tf.Tensor:
        """D(x) = x + sigma0^2 score(x), the last step."""
        if known:
            images = known.project(images)
        return images + self.sigma0**2 * self.energy_and_score_fn(images)[1]

    def _energy(self, image: tf.Tensor, known: Known | None) -> tf.Tensor:
        """Of one image, [H, W, C], with the score as its gradient."""
        images = known.project(image[None]) if known else image[None]
        return differentiable_energy(self.energy_and_score_fn, images)[0]


@dataclasses.dataclass(frozen=True)
class MetropolisLangevin(Metropolis):
    """The Metropolis-adjusted Langevin algorithm (MALA).

    A move x' = x + epsilon^2 / (2 T) score(x) + epsilon N(0, I), to be accepted or refused.
    Source: Roberts and Tweedie, "Exponential convergence of Langevin distributions" (1996).
    """

    @property
    def gradient_evaluations_per_move(self) -> int:
        return 1

    def kernel(
        self, log_prob_fn: Callable[[tf.Tensor], tf.Tensor], step_size: tf.Tensor
    ) -> tfp.mcmc.TransitionKernel:
        return tfp.mcmc.MetropolisAdjustedLangevinAlgorithm(log_prob_fn, step_size**2)


@dataclasses.dataclass(frozen=True)
class HamiltonianMonteCarlo(Metropolis):
    """Hamiltonian Monte Carlo (HMC): leapfrog steps of size epsilon, momentum N(0, I).

    Source: Neal, "MCMC using Hamiltonian dynamics" (2011).

    Attributes:
        leapfrog_steps: of each move, at least 1 (then it is MALA).
    """

    leapfrog_steps: int

    @property
    def gradient_evaluations_per_move(self) -> int:
        return self.leapfrog_steps

    def kernel(
        self, log_prob_fn: Callable[[tf.Tensor], tf.Tensor], step_size: tf.Tensor
    ) -> tfp.mcmc.TransitionKernel:
        return tfp.mcmc.HamiltonianMonteCarlo(log_prob_fn, step_size, self.leapfrog_steps)
