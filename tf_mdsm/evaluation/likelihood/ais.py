"""Annealed importance sampling (AIS), from a Gaussian up to an energy and down again."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.path import AnnealingPath, require_finite
from tf_mdsm.samplers.schedules import checked_schedule

__all__ = ["AnnealedChains", "AnnealedImportanceSampling", "OnIntervals"]

# Counters of random numbers begin at 0 for chains up, and at these for the others.
_FIRST_COUNTER_DOWN, _FIRST_COUNTER_EQUILIBRATION = 2**30, 2**31

# Intervals in one compiled call. After each call energies are checked and progress is reported.
_INTERVALS_PER_CALL = 25

# A callback that is given how many intervals have been completed since the last call.
OnIntervals = Callable[[int], object]


@dataclasses.dataclass(frozen=True)
class AnnealedChains:
    """Markov chains after a course along the inverse temperatures.

    Attributes:
        images: the final states, float32 [B, H, W, C].
        differences: E_ref - E / T at each of n intervals, in the order of beta, float32 [B, n].
        accepted: fraction of accepted moves in each interval, float32 [B, n].
    """

    images: np.ndarray
    differences: np.ndarray
    accepted: np.ndarray


class AnnealedImportanceSampling:
    """Chains along inverse temperatures beta_0 = 0 … beta_n = 1, for bounds of log Z.

    Z is the integral of exp(-E / T).

    Up (annealed importance sampling): a chain begins at an exact sample x_0 of the reference.
    Interval t adds (beta_(t+1) - beta_t) (E_ref - E / T)(x_t) to the chain's log weight, and then
    moves x_t under beta_(t+1). So E[exp(log weight)] = Z exactly, whatever the moves reach, and
    E[log weight] <= log Z.

    Down (bidirectional Monte Carlo): the same in reverse order, from samples of exp(-E / T). The
    sum of the same terms has an expectation >= log Z, and E[exp(-sum)] = 1 / Z. This holds only
    as far as the starting points are samples of exp(-E / T).

    Both bounds assume that moves leave their distribution invariant. Therefore the step sizes are
    fixed, found beforehand by other chains (`adaptation`). Moves that adapted to the chains that
    they move would not leave the distribution invariant, and the bounds would not hold.

    Each chain depends on its seed only, neither on the other chains of its batch nor on how the
    intervals are divided into calls.

    Sources: Neal, "Annealed importance sampling" (2001); Grosse, Ghahramani and Adams,
    "Sandwiching the marginal likelihood using bidirectional Monte Carlo" (2015).

    Args:
        path: the densities between the reference and the energy, and the moves.
        betas: inverse temperatures, rising from 0 to 1, [n + 1].
        step_sizes: epsilon of the moves of each interval, in pixel units, positive, [n].

    Attributes:
        betas: float32 [n + 1].
        step_sizes: float32 [n].

    Raises:
        InvalidArgument: unless betas rise from 0 to 1 and there is a positive step size for each
            interval.
    """

    def __init__(self, path: AnnealingPath, betas: np.ndarray, step_sizes: np.ndarray):
        self.betas = checked_schedule(
            "betas",
            betas,
            "rise from 0 to 1",
            lambda b: len(b) > 1 and b[0] == 0 and b[-1] == 1 and bool((np.diff(b) > 0).all()),
        )
        self.step_sizes = checked_schedule(
            "step_sizes", step_sizes, "be positive", lambda e: e.min() > 0
        )
        if len(step_sizes) != len(betas) - 1:
            one_each = f"be one for each interval ({len(betas) - 1})"
            raise InvalidArgument("step_sizes", one_each, len(step_sizes))
        self._path = path

    @property
    def num_intervals(self) -> int:
        """Number of intervals between inverse temperatures, n."""
        return len(self.step_sizes)

    def run_up(
        self, seeds: np.ndarray, on_intervals: OnIntervals = lambda _: None
    ) -> AnnealedChains:
        """Runs chains from exact samples of the reference (beta = 0) to the energy (beta = 1).

        Args:
            seeds: a seed for each chain, int64 [B], each >= 0.
            on_intervals: called with the number of intervals that have just been completed.

        Returns:
            the chains; `differences` are those before the moves of each interval.

        Raises:
            RunError: if an energy is not finite.
        """
        images = self._path.sample_reference(seeds)
        order = np.arange(self.num_intervals)
        return self._run(images, seeds, order, 0, on_intervals, before_moves=True)

    def run_down(
        self, images: np.ndarray, seeds: np.ndarray, on_intervals: OnIntervals = lambda _: None
    ) -> AnnealedChains:
        """Runs chains from samples of exp(-E / T) (beta = 1) to the reference (beta = 0).

        Args:
            images: samples of exp(-E / T), float32 [B, H, W, C].
            seeds: as in `run_up`; the random numbers are others.
            on_intervals: as in `run_up`.

        Returns:
            the chains; `differences` are those after the moves of each interval.

        Raises:
            RunError: if an energy is not finite.
        """
        order = np.arange(self.num_intervals)[::-1]
        chains = self._run(
            images, seeds, order, _FIRST_COUNTER_DOWN, on_intervals, before_moves=False
        )
        return AnnealedChains(chains.images, chains.differences[:, ::-1], chains.accepted[:, ::-1])

    def equilibrate(
        self,
        images: np.ndarray,
        seeds: np.ndarray,
        rounds: int,
        on_intervals: OnIntervals = lambda _: None,
    ) -> AnnealedChains:
        """Runs the moves at beta = 1 several times, so that chains approach exp(-E / T).

        Args:
            images: states of the chains, float32 [B, H, W, C].
            seeds: as in `run_up`; the random numbers are others.
            rounds: how many times the moves are made.
            on_intervals: as in `run_up`; a round counts as an interval.

        Returns:
            the chains; `differences` are those before each round, [B, rounds].

        Raises:
            RunError: if an energy is not finite.
        """
        order = np.full(rounds, self.num_intervals - 1)
        return self._run(
            images, seeds, order, _FIRST_COUNTER_EQUILIBRATION, on_intervals, before_moves=True
        )

    def log_weights(self, differences: np.ndarray) -> np.ndarray:
        """Log weights of chains up or down, float64 [B].

        Args:
            differences: E_ref - E / T at each interval, in the order of beta, [B, n].
        """
        return differences.astype(np.float64) @ np.diff(self.betas.astype(np.float64))

    def _run(
        self,
        images: np.ndarray,
        seeds: np.ndarray,
        order: np.ndarray,
        first_counter: int,
        on_intervals: OnIntervals,
        *,
        before_moves: bool,
    ) -> AnnealedChains:
        """Makes the moves of some intervals in the given order; energies before or after each."""
        all_differences, all_accepted = [], []
        if before_moves:
            all_differences.append(self._path.energy_differences(images)[:, None])
        for first in range(0, len(order), _INTERVALS_PER_CALL):
            intervals = order[first : first + _INTERVALS_PER_CALL]
            images, differences, accepted = self._path.advance(
                images,
                seeds,
                betas=self.betas[intervals + 1],
                step_sizes=self.step_sizes[intervals],
                counters=first_counter + first + np.arange(len(intervals)),
            )
            require_finite(differences, self.betas[intervals + 1])
            all_differences.append(differences)
            all_accepted.append(accepted)
            on_intervals(len(intervals))
        differences = np.concatenate(all_differences, axis=1)
        return AnnealedChains(
            images, differences[:, : len(order)], np.concatenate(all_accepted, axis=1)
        )
