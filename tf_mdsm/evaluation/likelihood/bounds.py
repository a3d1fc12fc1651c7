"""From log weights of both directions to bounds of log Z."""

import dataclasses
import math

import numpy as np
from scipy import special, stats

from tf_mdsm.errors import InvalidArgument

__all__ = [
    "Bound",
    "LogZBounds",
    "bracket",
    "clustered_error",
    "effective_size",
    "resample",
]


@dataclasses.dataclass(frozen=True)
class Bound:
    """What log weights of one direction say about log Z.

    Attributes:
        mean: of the log weights; below log Z in expectation if they are those up, above down.
        error: standard error of it; infinite for one independent chain.
        margin: by which it may be off, by the false-alarm probability that was asked for.
        estimate: log Z by the mean of the weights themselves (of their inverses, down). It lies
            between `mean` and log Z in expectation.
        estimate_error: its standard error, to first order.
        effective_size: chains of equal weight that would estimate as well (Kish).
        independent: chains that do not share their start.
    """

    mean: float
    error: float
    margin: float
    estimate: float
    estimate_error: float
    effective_size: float
    independent: int


@dataclasses.dataclass(frozen=True)
class LogZBounds:
    """log Z from below and from above."""

    lower: Bound
    upper: Bound

    @property
    def low(self) -> float:
        """The lower bound less its margin."""
        return self.lower.mean - self.lower.margin

    @property
    def high(self) -> float:
        """The upper bound plus its margin."""
        return self.upper.mean + self.upper.margin

    @property
    def log_z(self) -> float:
        """The estimate that needs no samples of the model: E[weight] = Z, up."""
        return self.lower.estimate


def effective_size(log_weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2, between 1 and their number."""
    doubled = special.logsumexp(2 * log_weights)
    return float(np.exp(2 * special.logsumexp(log_weights) - doubled))


def resample(log_weights: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Places of chains drawn in proportion to their weights, at equal distances, int64 [count].

    Chains that end in one mode stay there; their weights tell how much that mode is worth.
    Source: Kitagawa, "Monte Carlo filter and smoother" (1996).
    """
    shares = np.cumsum(special.softmax(log_weights))
    points = (np.random.default_rng(seed).uniform() + np.arange(count)) / count
    return np.minimum(np.searchsorted(shares, points), len(shares) - 1)


def bracket(
    up: np.ndarray, down: np.ndarray, origins: np.ndarray | None = None, alarm: float = 0.003
) -> LogZBounds:
    """Bounds of log Z.

    Args:
        up: log weights of chains from the reference to the energy, [N].
        down: those of chains from samples of the energy to the reference, [M].
        origins: which of the chains down begin at the same place, [M]; None: none. What chains
            from one place have in common counts once.
        alarm: probability with which a mean of normal numbers lies beyond its margin, either way.

    Raises:
        InvalidArgument: for log weights that are not finite, or fewer than two.
    """
    for name, weights in (("up", up), ("down", down)):
        if weights.ndim != 1 or len(weights) < 2 or not np.isfinite(weights).all():
            raise InvalidArgument(name, "be at least two finite numbers", weights)
    lower = _bound(up, np.arange(len(up)), alarm)
    above = _bound(-down, np.arange(len(down)) if origins is None else origins, alarm)
    negated = {"mean": -above.mean, "estimate": -above.estimate}
    return LogZBounds(lower, dataclasses.replace(above, **negated))


def _bound(log_weights: np.ndarray, origins: np.ndarray, alarm: float) -> Bound:
    count = len(log_weights)
    weights = special.softmax(log_weights) * count
    mean = float(log_weights.mean())
    error, groups = clustered_error(log_weights, origins)
    relative, _ = clustered_error(weights, origins)
    return Bound(
        mean,
        error,
        float(stats.t.isf(alarm / 2, groups - 1)) * error if groups > 1 else math.inf,
        float(special.logsumexp(log_weights) - math.log(count)),
        relative,
        effective_size(log_weights),
        groups,
    )


def clustered_error(values: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """Standard error of a mean whose values depend on each other within groups; their number."""
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], values - values.mean())
    count = len(sums)
    if count < 2:
        return math.inf, count
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values)), count
