"""Bounds of log Z from the log weights of annealed chains in both directions."""

import dataclasses
import math

import numpy as np
from scipy import special, stats

from tf_mdsm.errors import InvalidArgument

__all__ = [
    "Bound",
    "LogMass",
    "LogZBounds",
    "bound_log_z",
    "clustered_error",
    "effective_size",
    "estimate_log_mass",
    "resample",
]


# The names of the fields are keys of likelihood.json.
@dataclasses.dataclass(frozen=True)
class Bound:
    """A one-sided bound of log Z, from the log weights of one direction.

    Attributes:
        mean: mean log weight. Its expectation is below log Z for chains up, above for chains down.
        error: standard error of the mean; infinite for a single independent chain.
        margin: half-width of the mean's confidence interval, at the given false-alarm probability.
        estimate: log Z from the mean of the weights themselves (of their inverses for chains
            down). Its expectation lies between that of `mean` and log Z.
        estimate_error: standard error of the estimate, to first order.
        effective_size: number of equally weighted chains of the same accuracy (Kish).
        independent: number of chains with different starting points.
    """

    mean: float
    error: float
    margin: float
    estimate: float
    estimate_error: float
    effective_size: float
    independent: int


@dataclasses.dataclass(frozen=True)
class LogMass:
    """Logarithm of the probability that a sample of a distribution lies in a domain.

    Attributes:
        value: the logarithm, or its estimate.
        error: standard error of the estimate; 0 if the value is exact.
        low: lower end of its confidence interval.
        high: upper end.
    """

    value: float
    error: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class LogZBounds:
    """log Z between two bounds.

    Attributes:
        lower: from chains up, from the reference to the energy.
        upper: from chains down, from the energy to the reference.
    """

    lower: Bound
    upper: Bound

    @property
    def low(self) -> float:
        """The lower bound minus its margin."""
        return self.lower.mean - self.lower.margin

    @property
    def high(self) -> float:
        """The upper bound plus its margin."""
        return self.upper.mean + self.upper.margin

    @property
    def log_z(self) -> float:
        """The estimate of log Z from chains up, which needs no samples of the model."""
        return self.lower.estimate

    def plus(self, mass: LogMass) -> "LogZBounds":
        """Bounds of log Z from these bounds of log (Z / mass).

        The margins add up: each holds with its own false-alarm probability.
        """
        return LogZBounds(
            _shifted(self.lower, mass, mass.value - mass.low),
            _shifted(self.upper, mass, mass.high - mass.value),
        )


def _shifted(bound: Bound, mass: LogMass, margin: float) -> Bound:
    return dataclasses.replace(
        bound,
        mean=bound.mean + mass.value,
        error=math.hypot(bound.error, mass.error),
        margin=bound.margin + margin,
        estimate=bound.estimate + mass.value,
        estimate_error=math.hypot(bound.estimate_error, mass.error),
    )


def estimate_log_mass(inside: int, draws: int, false_alarm: float = 0.003) -> LogMass:
    """The logarithm of a probability, from how many of some draws were inside.

    Source: Clopper and Pearson, "The use of confidence or fiducial limits" (1934).

    Args:
        inside: number of draws inside, at least 1.
        draws: number of all draws, independent.
        false_alarm: probability that the true value lies outside the interval, at most.
    """
    share = inside / draws
    low = stats.beta.ppf(false_alarm / 2, inside, draws - inside + 1)
    high = stats.beta.isf(false_alarm / 2, inside + 1, draws - inside) if inside < draws else 1.0
    return LogMass(
        value=math.log(share),
        error=math.sqrt((1 - share) / inside),
        low=math.log(low),
        high=math.log(high),
    )


def effective_size(log_weights: np.ndarray) -> float:
    """Effective sample size (sum w)^2 / sum w^2 of log weights [N], between 1 and N."""
    log_sum_of_squares = special.logsumexp(2 * log_weights)
    return float(np.exp(2 * special.logsumexp(log_weights) - log_sum_of_squares))


def resample(log_weights: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Systematic resampling: indices of chains in proportion to their weights, int64 [count].

    A chain does not leave the mode in which it ends. Its weight corrects the mode's share.

    Source: Kitagawa, "Monte Carlo filter and smoother" (1996).

    Args:
        log_weights: log weights of the chains, [N].
        count: number of indices.
        seed: seed of the random offset.
    """
    cumulative = np.cumsum(special.softmax(log_weights))
    points = (np.random.default_rng(seed).uniform() + np.arange(count)) / count
    return np.minimum(np.searchsorted(cumulative, points), len(cumulative) - 1)


def bound_log_z(
    up: np.ndarray,
    down: np.ndarray,
    *,
    origins: np.ndarray | None = None,
    false_alarm: float = 0.003,
) -> LogZBounds:
    """Bounds log Z from below and from above.

    Args:
        up: log weights of chains from the reference to the energy, [N].
        down: log weights of chains from samples of the energy to the reference, [M].
        origins: number of the starting point of each chain down, [M]; None: all are different.
            Chains with the same starting point count as one independent chain.
        false_alarm: probability that the mean of normally distributed log weights lies outside
            its margin, on either side.

    Raises:
        InvalidArgument: for log weights that are not finite, or fewer than two.
    """
    for name, log_weights in (("up", up), ("down", down)):
        if log_weights.ndim != 1 or len(log_weights) < 2 or not np.isfinite(log_weights).all():
            raise InvalidArgument(name, "be at least two finite numbers", log_weights)
    lower = _bound(up, np.arange(len(up)), false_alarm)
    if origins is None:
        origins = np.arange(len(down))
    negated = _bound(-down, origins, false_alarm)
    upper = dataclasses.replace(negated, mean=-negated.mean, estimate=-negated.estimate)
    return LogZBounds(lower, upper)


def _bound(log_weights: np.ndarray, origins: np.ndarray, false_alarm: float) -> Bound:
    count = len(log_weights)
    error, independent = clustered_error(log_weights, origins)
    margin = math.inf
    if independent > 1:
        margin = float(stats.t.isf(false_alarm / 2, independent - 1)) * error
    relative_weights = special.softmax(log_weights) * count
    estimate_error, _ = clustered_error(relative_weights, origins)
    return Bound(
        mean=float(log_weights.mean()),
        error=error,
        margin=margin,
        estimate=float(special.logsumexp(log_weights) - math.log(count)),
        estimate_error=estimate_error,
        effective_size=effective_size(log_weights),
        independent=independent,
    )


def clustered_error(values: np.ndarray, groups: np.ndarray) -> tuple[float, int]:
    """Standard error of the mean of values that are correlated within groups.

    Args:
        values: [N].
        groups: number of the group of each value, [N].

    Returns:
        the standard error, infinite for a single group; the number of groups.
    """
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], values - values.mean())
    count = len(sums)
    if count < 2:
        return math.inf, count
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(values)), count
