"""MALA and HMC: Markov chains with a Metropolis test under a falling temperature."""

import abc
import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.base import Target, TemperatureMethod, denoise, energy_and_score
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownData
from tf_mdsm.samplers.kernels import hamiltonian_moves
from tf_mdsm.samplers.schedules import checked_schedule
from tf_mdsm.samplers.values import whole_number

__all__ = ["HMC", "MALA", "Metropolis"]


@dataclasses.dataclass(frozen=True, eq=False)
class Metropolis(TemperatureMethod):
    """Base class of Markov chains with a Metropolis test, under a falling temperature.

    Calibrated: each move leaves the distribution exp(-E / T) invariant, so at constant T the
    distribution of the images is exact in the limit of many moves, whatever the step size. The
    error that a fall of the temperature causes is not corrected. At temperature T the images
    look like clean images with noise of level sigma0 sqrt(T). The final image is
    D(x) = x + sigma0^2 score(x).

    A move is a trajectory of leapfrog steps (see `kernels.hamiltonian_moves`).

    Attributes:
        temperatures: as in `TemperatureMethod`, all positive.
        step_sizes: epsilon of each step, in pixel units, float32 [steps].
        moves: number of moves in each step, at least 1.
    """

    step_sizes: np.ndarray
    moves: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperatures.min() > 0:
            raise InvalidArgument("temperatures", "be positive", self.temperatures)
        self._set(
            step_sizes=checked_schedule(
                "step_sizes", self.step_sizes, "be positive", lambda e: e.min() > 0
            ),
            moves=whole_number("moves", self.moves),
        )
        if len(self.step_sizes) != len(self.temperatures):
            same_number = f"be as many as temperatures ({len(self.temperatures)})"
            raise InvalidArgument("step_sizes", same_number, len(self.step_sizes))

    @property
    @abc.abstractmethod
    def gradient_evaluations_per_move(self) -> int:
        """Gradient evaluations of one move, one for each leapfrog step.

        The evaluation at the initial image of a step is not counted.
        """

    @property
    def evaluations_of_step(self) -> int:
        """Gradient evaluations per image in one step: at its first image, and in its moves."""
        return 1 + self.moves * self.gradient_evaluations_per_move

    def step(
        self,
        target: Target,
        images: tf.Tensor,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        """One step of `moves` moves, as in `Method.step`."""
        images, energy, _ = self.move(target, images, seeds, step, known)
        return images, energy, True

    def move(
        self,
        target: Target,
        images: tf.Tensor,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData = NOTHING_KNOWN,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Makes the moves of one step, and counts the accepted moves.

        Args:
            target: what is sampled.
            images: images before the moves, float32 [B, H, W, C].
            seeds: int64 [B], each >= 0.
            step: index of the step, int32 scalar in [0, num_steps).
            known: data that the final images must agree with.

        Returns:
            the images after the moves; their energy before the moves, float32 [B]; the fraction of
            accepted moves, float32 [B].
        """
        temperature = tf.constant(self.temperatures)[step]
        # Known data get the temperature's noise once, and keep these values during the moves.
        images = known.project_noisy(images, step, target.sigma0 * tf.sqrt(temperature))
        known = known.with_values_from(images)

        def tempered_energy_and_score(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            energy, score = _energy_and_score_given(target, images, known)
            return energy / temperature, score / temperature

        step_size = tf.constant(self.step_sizes)[step]
        images, energy, accepted = hamiltonian_moves(
            tempered_energy_and_score,
            images,
            seeds,
            step,
            stream="metropolis",
            step_sizes=tf.fill(tf.shape(seeds), step_size),
            leapfrog_steps=self.gradient_evaluations_per_move,
            moves=self.moves,
        )
        return images, temperature * energy, accepted

    def finish(
        self, target: Target, images: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """Final images D(x) = x + sigma0^2 score(x); arguments as in `Method.finish`."""
        return denoise(target, known.project(images))[1]


def _energy_and_score_given(
    target: Target, images: tf.Tensor, known: KnownData
) -> tuple[tf.Tensor, tf.Tensor]:
    """Energies [B] of images with the known data in place, and minus their gradients."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        projected = known.project(images)
    energy, score = energy_and_score(target, projected)
    score_given: Any = tape.gradient(projected, images, output_gradients=[score])
    return energy, score_given


@dataclasses.dataclass(frozen=True, eq=False)
class MALA(Metropolis):
    """The Metropolis-adjusted Langevin algorithm (MALA). Calibrated, see `Metropolis`.

    A move proposes x' = x + epsilon^2 / (2 T) score(x) + epsilon N(0, I), and the Metropolis test
    accepts or rejects it. This is one leapfrog step of `HMC`.

    Source: Roberts and Tweedie, "Exponential convergence of Langevin distributions" (1996).
    """

    @property
    def gradient_evaluations_per_move(self) -> int:
        """Gradient evaluations of one move: one, at the proposed image."""
        return 1


@dataclasses.dataclass(frozen=True, eq=False)
class HMC(Metropolis):
    """Hamiltonian Monte Carlo (HMC). Calibrated, see `Metropolis`.

    A move makes leapfrog steps of size epsilon from a random momentum N(0, I), and the Metropolis
    test accepts or rejects the last image.

    Source: Neal, "MCMC using Hamiltonian dynamics" (2011).

    Attributes:
        leapfrog_steps: leapfrog steps in each move, at least 1. With 1, HMC is MALA.
    """

    leapfrog_steps: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(leapfrog_steps=whole_number("leapfrog_steps", self.leapfrog_steps))

    @property
    def gradient_evaluations_per_move(self) -> int:
        """Gradient evaluations of one move: one for each leapfrog step."""
        return self.leapfrog_steps
