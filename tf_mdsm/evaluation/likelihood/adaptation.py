"""Chains without weights find out for the others: step sizes, and where beta must go slowly."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.path import AnnealingPath

__all__ = ["Adaptation", "adapt", "adaptation_betas"]

# Change of log epsilon for each share of moves that were accepted too many.
_GAIN = 1.5


@dataclasses.dataclass(frozen=True)
class Adaptation:
    """What was found at some inverse temperatures.

    Attributes:
        betas: from 0 to 1, rising, [k].
        deviations: standard deviation of E_ref - E / T over the chains there, [k].
        step_sizes: by which the wanted share of moves is accepted under betas[1:], [k - 1].
        accepted: the share that was, [k - 1].
    """

    betas: np.ndarray
    deviations: np.ndarray
    step_sizes: np.ndarray
    accepted: np.ndarray

    @property
    def length(self) -> float:
        """Thermodynamic length: the integral of the deviation over beta.

        With n intervals and moves that forget, up and down lie length^2 / n apart.
        """
        return float(self._lengths()[-1])

    def schedule(self, num_temperatures: int) -> tuple[np.ndarray, np.ndarray]:
        """Intervals of equal thermodynamic length, and their step sizes.

        Source: Crooks, "Measuring thermodynamic length" (2007).

        Args:
            num_temperatures: n.

        Returns:
            betas, float32 [n + 1]; step sizes, float32 [n].

        Raises:
            InvalidArgument: for more intervals than single precision tells apart.
        """
        lengths = self._lengths()
        # A share of equal intervals, lest a place that looked easy be jumped over.
        progress = 0.9 * lengths / lengths[-1] + 0.1 * self.betas if lengths[-1] else self.betas
        betas = np.interp(np.linspace(0, 1, num_temperatures + 1), progress, self.betas)
        betas[[0, -1]] = 0, 1
        betas = betas.astype(np.float32)
        if not (np.diff(betas) > 0).all():
            raise InvalidArgument("num_temperatures", "leave room between them", num_temperatures)
        # By the place in the schedule, which has its steps where the deviation is large.
        places = np.interp(betas[1:], self.betas, progress)
        sizes = np.exp(np.interp(places, progress[1:], np.log(self.step_sizes)))
        return betas, sizes.astype(np.float32)

    def _lengths(self) -> np.ndarray:
        means = (self.deviations[1:] + self.deviations[:-1]) / 2
        return np.concatenate([[0], np.cumsum(means * np.diff(self.betas))])


def adaptation_betas(count: int, steepness: float = 9.0) -> np.ndarray:
    """0, 1, and a sigmoid between them that is dense at both ends, [count]."""
    inner = 1 / (1 + np.exp(-np.linspace(-steepness, steepness, count - 2)))
    return np.concatenate([[0], inner, [1]])


def adapt(
    bridge: AnnealingPath,
    num_betas: int,
    seeds: np.ndarray,
    rounds: int = 8,
    acceptance: float = 0.8,
    on_betas: Callable[[int], None] = lambda _: None,
) -> Adaptation:
    """Adapts step sizes until the wanted share of moves is accepted, on a way up and one down.

    The way up, over `adaptation_betas`, finds where E_ref - E / T changes fast. That down goes over
    intervals of equal length by that, and is what is told: chains that lag behind accept large
    steps on their way into a narrower law, and small ones on their way out. At each beta,
    log epsilon follows the share over all chains; its mean over the later half of the rounds is
    kept, and is where the next beta begins.

    Args:
        bridge: the energy, the reference, and the moves.
        num_betas: k, at least 3.
        seeds: of chains that will carry no weight, int64 [B], each >= 0.
        rounds: of moves at each beta, at least 2.
        acceptance: the wanted share, in (0, 1).
        on_betas: is told how many have just been done, of 2 (k - 1).

    Raises:
        RunError: where an energy is not finite, or no step is small enough.
    """
    images = bridge.start(seeds)
    at_reference = _deviation(bridge.differences(images), 0.0)
    log_size = math.log(bridge.reference.smallest_deviation / 2)
    first_number = 0

    def visit(betas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Deviation, step size and accepted share at each of some betas, in their order."""
        nonlocal images, log_size, first_number
        found = []
        for beta in betas:
            log_sizes, shares = np.empty(rounds), np.empty(rounds)
            for i in range(rounds):
                log_sizes[i] = log_size
                images, differences, accepted = bridge.walk(
                    images, seeds, [beta], [math.exp(log_size)], [first_number + i]
                )
                shares[i] = accepted.mean()
                log_size += _GAIN * (shares[i] - acceptance)
            first_number += rounds
            log_size, share = (values[rounds // 2 :].mean() for values in (log_sizes, shares))
            found.append((_deviation(differences, beta), math.exp(log_size), share))
            on_betas(1)
        return tuple(np.array(found).T)

    betas = adaptation_betas(num_betas)
    deviations, step_sizes, shares = visit(betas[1:])
    if shares[-1] == 0:
        raise RunError(f"the last moves were all refused, at step size {step_sizes[-1]:.2g}")
    coarse = Adaptation(betas, np.append(at_reference, deviations), step_sizes, shares)
    betas, _ = coarse.schedule(num_betas - 1)
    deviations, step_sizes, shares = (found[::-1] for found in visit(betas[:0:-1]))
    return Adaptation(betas, np.append(at_reference, deviations), step_sizes, shares)


def _deviation(differences: np.ndarray, beta: float) -> float:
    """Over the chains."""
    if not np.isfinite(differences).all():
        raise RunError(
            f"at inverse temperature {beta:.4g} the energy of a chain is not finite: "
            "it may not confine chains that leave the trained range"
        )
    return float(differences.astype(np.float64).std())
