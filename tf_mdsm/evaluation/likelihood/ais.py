"""Annealed importance sampling, up from a Gaussian to an energy and down again."""

import dataclasses
from collections.abc import Callable

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.samplers.schedules import require_schedule

__all__ = ["AnnealedImportanceSampling", "Path"]

# Noise of the chains down, and of those at rest, is not that of those up.
_DOWN, _REST = 2**30, 2**31

# Intervals between two looks from outside.
_STRETCH = 25

OnIntervals = Callable[[int], None]


@dataclasses.dataclass(frozen=True)
class Path:
    """What came of some chains.

    Attributes:
        images: where they end, float32 [B, H, W, C].
        differences: E_ref - E / T at each of n intervals, in the order of beta, float32 [B, n].
        accepted: share of accepted moves at each interval, float32 [B, n].
    """

    images: np.ndarray
    differences: np.ndarray
    accepted: np.ndarray


class AnnealedImportanceSampling:
    """Chains along inverse temperatures beta_0 = 0 … beta_n = 1: log Z from both ends.

    Z is the integral of exp(-E / T).

    Up (annealed importance sampling): from an exact sample x_0 of the reference, interval t adds
    (beta_(t+1) - beta_t) (E_ref - E / T)(x_t) to the log weight and then moves x_t under
    beta_(t+1). So E[exp(log weight)] = Z exactly, whatever the moves reach, and
    E[log weight] <= log Z.
    Down (bidirectional Monte Carlo): the same backwards. From samples of exp(-E / T), the sum of
    the same terms has an expectation >= log Z, and E[exp(-sum)] = 1 / Z. This holds as far as the
    start is such a sample, and no further.

    Both ask of the moves only that they leave their law as it is. So step sizes are given, found by
    chains that carry no weight (`pilot`): moves that adapted to the chains they move would not
    leave the law as it is, and the bounds would be none.

    Each chain follows from its seed: neither from its batch, nor from where loops are cut. The
    methods tell a callback how many intervals have just been done, and raise RunError where an
    energy is not finite.

    Sources: Neal, "Annealed importance sampling" (2001); Grosse, Ghahramani and Adams,
    "Sandwiching the marginal likelihood using bidirectional Monte Carlo" (2015).

    Args:
        bridge: the energy, the reference, and the moves.
        betas: rising from 0 to 1, [n + 1].
        step_sizes: epsilon of the moves of each interval, in pixel units, positive, [n].

    Raises:
        InvalidArgument: for arrays that are not such.
    """

    def __init__(self, bridge: AnnealingPath, betas: np.ndarray, step_sizes: np.ndarray):
        require_schedule(
            "betas",
            betas,
            "rise from 0 to 1",
            lambda b: len(b) > 1 and b[0] == 0 and b[-1] == 1 and (np.diff(b) > 0).all(),
        )
        require_schedule("step_sizes", step_sizes, "be positive", lambda e: e.min() > 0)
        if len(step_sizes) != len(betas) - 1:
            one_each = f"be one for each interval ({len(betas) - 1})"
            raise InvalidArgument("step_sizes", one_each, len(step_sizes))
        self.betas, self.step_sizes = np.float32(betas), np.float32(step_sizes)
        self._bridge = bridge

    @property
    def num_intervals(self) -> int:
        """n."""
        return len(self.step_sizes)

    def up(self, seeds: np.ndarray, on_intervals: OnIntervals = lambda _: None) -> Path:
        """From samples of the reference.

        Args:
            seeds: int64 [B], each >= 0.
            on_intervals: is told how many have just been done.
        """
        images = self._bridge.start(seeds)
        path = self._run(images, seeds, np.arange(self.num_intervals), 0, on_intervals)
        return self._before_each(images, path)

    def down(
        self, images: np.ndarray, seeds: np.ndarray, on_intervals: OnIntervals = lambda _: None
    ) -> Path:
        """From samples of exp(-E / T), float32 [B, H, W, C]; seeds as in `up`."""
        order = np.arange(self.num_intervals)[::-1]
        path = self._run(images, seeds, order, _DOWN, on_intervals)
        return Path(path.images, path.differences[:, ::-1], path.accepted[:, ::-1])

    def rest(
        self,
        images: np.ndarray,
        seeds: np.ndarray,
        rounds: int,
        on_intervals: OnIntervals = lambda _: None,
    ) -> Path:
        """`rounds` times the moves at beta = 1; `differences` are those before each."""
        order = np.full(rounds, self.num_intervals - 1)
        path = self._run(images, seeds, order, _REST, on_intervals)
        return self._before_each(images, path)

    def log_weights(self, differences: np.ndarray) -> np.ndarray:
        """The sum of the terms of chains up or down, float64 [B].

        Args:
            differences: of each chain at each interval, in the order of beta, [B, n].
        """
        return differences.astype(np.float64) @ np.diff(self.betas.astype(np.float64))

    def _run(self, images, seeds, intervals, first_number, on_intervals) -> Path:
        """Moves of some intervals, one after the other, and the differences after each."""
        parts = []
        for first in range(0, len(intervals), _STRETCH):
            places = intervals[first : first + _STRETCH]
            numbers = first_number + first + np.arange(len(places))
            images, *found = self._bridge.walk(
                images, seeds, self.betas[places + 1], self.step_sizes[places], numbers
            )
            self._require_finite(found[0], places)
            parts.append(found)
            on_intervals(len(places))
        return Path(
            images, *(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))
        )

    def _before_each(self, images: np.ndarray, path: Path) -> Path:
        first = self._bridge.differences(images)[:, None]
        differences = np.concatenate([first, path.differences[:, :-1]], axis=1)
        return Path(path.images, differences, path.accepted)

    def _require_finite(self, differences: np.ndarray, intervals: np.ndarray) -> None:
        finite = np.isfinite(differences).all(axis=0)
        if not finite.all():
            beta = self.betas[intervals[np.argmin(finite)] + 1]
            raise RunError(
                f"at inverse temperature {beta:.4g} the energy of a chain is not finite: "
                "it may not confine chains that leave the trained range"
            )
