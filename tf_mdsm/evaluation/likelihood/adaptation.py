"""Adaptation before annealed importance sampling: step sizes and a schedule of temperatures."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.path import AnnealingPath, require_finite

__all__ = ["Adaptation", "adapt", "adaptation_betas"]

# Change of log epsilon per unit of the accepted fraction above the wanted one.
_GAIN = 1.5


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """Step sizes and the spread of E_ref - E / T at some inverse temperatures.

    Attributes:
        betas: inverse temperatures, rising from 0 to 1, [k].
        deviations: standard deviation of E_ref - E / T over the chains at each, [k].
        step_sizes: epsilon at betas[1:] with the wanted acceptance, in pixel units, [k - 1].
        accepted: fraction of accepted moves at betas[1:], [k - 1].
    """

    betas: np.ndarray
    deviations: np.ndarray
    step_sizes: np.ndarray
    accepted: np.ndarray

    @property
    def thermodynamic_length(self) -> float:
        """The integral of the standard deviation over beta, by the trapezoidal rule.

        With n intervals, and moves after which states are independent, the lower and the upper
        bound of log Z differ by length^2 / n.
        """
        return float(self._cumulative_lengths()[-1])

    def schedule(self, num_temperatures: int) -> tuple[np.ndarray, np.ndarray]:
        """Intervals of equal thermodynamic length, and their step sizes.

        Source: Crooks, "Measuring thermodynamic length" (2007).

        Args:
            num_temperatures: number of intervals, n.

        Returns:
            betas, float32 [n + 1]; step sizes, float32 [n].

        Raises:
            InvalidArgument: if two neighbouring betas are equal in single precision.
        """
        lengths = self._cumulative_lengths()
        # A tenth of equal intervals in beta, so that no range of betas is skipped because the
        # deviation happened to look small there.
        progress = 0.9 * lengths / lengths[-1] + 0.1 * self.betas if lengths[-1] else self.betas
        betas = np.interp(np.linspace(0, 1, num_temperatures + 1), progress, self.betas)
        betas[[0, -1]] = 0, 1
        betas = betas.astype(np.float32)
        if not (np.diff(betas) > 0).all():
            raise InvalidArgument("num_temperatures", "leave room between them", num_temperatures)
        # log epsilon is interpolated over the progress, which resolves the ranges of beta where
        # the deviation is large.
        progress_at_betas = np.interp(betas[1:], self.betas, progress)
        sizes = np.exp(np.interp(progress_at_betas, progress[1:], np.log(self.step_sizes)))
        return betas, sizes.astype(np.float32)

    def _cumulative_lengths(self) -> np.ndarray:
        means = (self.deviations[1:] + self.deviations[:-1]) / 2
        return np.concatenate([[0], np.cumsum(means * np.diff(self.betas))])


def adaptation_betas(count: int, steepness: float = 9.0) -> np.ndarray:
    """Inverse temperatures 0, 1, and a sigmoid between them that is dense at both ends, [count]."""
    inner = 1 / (1 + np.exp(-np.linspace(-steepness, steepness, count - 2)))
    return np.concatenate([[0], inner, [1]])


def adapt(
    path: AnnealingPath,
    *,
    num_betas: int,
    seeds: np.ndarray,
    rounds: int = 8,
    acceptance: float = 0.8,
    on_betas: Callable[[int], object] = lambda _: None,
) -> Adaptation:
    """Adapts step sizes to an accepted fraction, with chains that go up and down again.

    The course up visits `adaptation_betas`, and finds where E_ref - E / T varies most. The course
    down visits intervals of equal thermodynamic length, and its step sizes are the result. The
    course up would be misleading: chains lag behind the changing distribution, and accept large
    steps while they still move into a narrower one.

    At each beta, log epsilon follows the accepted fraction over all chains. Its mean over the
    second half of the rounds is the result, and the initial value at the next beta.

    Args:
        path: the densities between the reference and the energy, and the moves.
        num_betas: number of inverse temperatures k, at least 3.
        seeds: seeds of chains that are used for nothing else, int64 [B], each >= 0.
        rounds: rounds of moves at each beta, at least 2.
        acceptance: the wanted fraction of accepted moves, in (0, 1).
        on_betas: called with the number of betas that have just been visited, 2 (k - 1) in all.

    Raises:
        RunError: if an energy is not finite, or if no move at beta = 1 is accepted.
    """
    chains = _AdaptingChains(path, seeds, rounds, acceptance, on_betas)
    deviation_at_reference = chains.deviation

    # Up, over betas that are dense at both ends.
    betas = adaptation_betas(num_betas)
    deviations, step_sizes, accepted = chains.visit(betas[1:])
    if accepted[-1] == 0:
        raise RunError(f"the last moves were all refused, at step size {step_sizes[-1]:.2g}")
    coarse = Adaptation(betas, np.append(deviation_at_reference, deviations), step_sizes, accepted)

    # Down, over betas at equal distances in thermodynamic length.
    betas, _ = coarse.schedule(num_betas - 1)
    deviations, step_sizes, accepted = (values[::-1] for values in chains.visit(betas[:0:-1]))
    return Adaptation(betas, np.append(deviation_at_reference, deviations), step_sizes, accepted)


class _AdaptingChains:
    """Chains whose common step size follows their accepted fraction.

    Attributes:
        deviation: standard deviation of E_ref - E / T over the chains, at the latest beta.
    """

    def __init__(
        self,
        path: AnnealingPath,
        seeds: np.ndarray,
        rounds: int,
        acceptance: float,
        on_betas: Callable[[int], object],
    ):
        self._path, self._seeds = path, seeds
        self._rounds, self._acceptance, self._on_betas = rounds, acceptance, on_betas
        self._images = path.sample_reference(seeds)
        self._log_step_size = math.log(path.reference.smallest_std / 2)
        self._counter = 0
        self.deviation = _deviation(path.energy_differences(self._images), 0.0)

    def visit(self, betas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Adapts at each of some betas, in their order: deviations, step sizes, accepted, [n]."""
        deviations, step_sizes, accepted = np.empty((3, len(betas)))
        for i, beta in enumerate(betas):
            accepted[i] = self._adapt_at(beta)
            deviations[i], step_sizes[i] = self.deviation, math.exp(self._log_step_size)
            self._on_betas(1)
        return deviations, step_sizes, accepted

    def _adapt_at(self, beta: float) -> float:
        """Rounds of moves at one beta: the accepted fraction in the second half of them."""
        log_step_sizes, accepted = np.empty(self._rounds), np.empty(self._rounds)
        for i in range(self._rounds):
            log_step_sizes[i] = self._log_step_size
            self._images, differences, chain_accepted = self._path.advance(
                self._images,
                self._seeds,
                betas=np.array([beta]),
                step_sizes=np.array([math.exp(self._log_step_size)]),
                counters=np.array([self._counter]),
            )
            accepted[i] = chain_accepted.mean()
            self._log_step_size += _GAIN * (accepted[i] - self._acceptance)
            self._counter += 1
        self.deviation = _deviation(differences[:, 0], beta)
        self._log_step_size = log_step_sizes[self._rounds // 2 :].mean()
        return accepted[self._rounds // 2 :].mean()


def _deviation(differences: np.ndarray, beta: float) -> float:
    """Standard deviation over the chains of E_ref - E / T [B] at beta."""
    require_finite(differences[:, None], [beta])
    return float(differences.astype(np.float64).std())
