"""Distances of two sets of features: Fréchet, kernel, precision and recall; inception score.

All in float64, and of features alone: whose they are is not known here.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import linalg, special

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import FeatureStatistics
from tf_mdsm.evaluation.features import require_features

__all__ = ["frechet_distance", "inception_score", "kernel_distance", "precision_and_recall"]

# Distances that are in memory at a time (128 MB).
_BLOCK = 2**24


def frechet_distance(ours: FeatureStatistics, theirs: FeatureStatistics) -> float:
    """Between two Gaussians (of Inception's features: FID):

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

    The last trace is the sum of the singular values of C1^(1/2) C2^(1/2), which are exact to the
    last digits of the largest; eigenvalues of the product would be squared, and their roots
    exact to half the digits only.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal
    distributions" (1982); Heusel et al., "GANs trained by a two time-scale update rule" (2017).

    Raises:
        InvalidArgument: for fewer images than features, whose covariance says little, or for
            different numbers of features.
    """
    size = len(ours.mean)
    if len(theirs.mean) != size:
        raise InvalidArgument("theirs", f"have {size} features, as ours", len(theirs.mean))
    for name, statistics in (("ours", ours), ("theirs", theirs)):
        if statistics.count is not None and statistics.count < size:
            at_least = f"have at least as many images as features ({size})"
            raise InvalidArgument(name, at_least, statistics.count)
    roots = _symmetric_root(ours.covariance) @ _symmetric_root(theirs.covariance)
    apart = np.sum((ours.mean - theirs.mean) ** 2)
    spread = np.trace(ours.covariance) + np.trace(theirs.covariance)
    return max(0.0, float(apart + spread - 2 * linalg.svdvals(roots).sum()))


def _symmetric_root(covariance: np.ndarray) -> np.ndarray:
    variances, directions = linalg.eigh((covariance + covariance.T) / 2, driver="evd")
    # Less than this is rounding, whose root would be none.
    smallest = len(variances) * np.finfo(np.float64).eps * max(variances[-1], 0.0)
    return directions * np.sqrt(np.where(variances > smallest, variances, 0.0)) @ directions.T


def kernel_distance(
    ours: np.ndarray,
    theirs: np.ndarray,
    subsets: int = 100,
    subset_size: int = 1_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Squared maximum mean discrepancy (of Inception's features: KID) by k(x, y) = (x'y/d + 1)^3.

    The unbiased estimator, which may be below 0, of random subsets.

    Source: Bińkowski et al., "Demystifying MMD GANs" (2018).

    Args:
        ours: features [N, d].
        theirs: features [M, d].
        subsets: pairs of subsets.
        subset_size: images of each.
        seed: of the choice.

    Returns:
        mean and standard deviation over the subsets.

    Raises:
        InvalidArgument: for fewer images than a subset has.
    """
    for name, value, least in (("subsets", subsets, 1), ("subset_size", subset_size, 2)):
        if value < least:
            raise InvalidArgument(name, f"be at least {least}", value)
    _require_pair(ours, theirs, subset_size, f"a subset has ({subset_size})")
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(subsets):
        chosen = (
            features[generator.choice(len(features), subset_size, replace=False)]
            for features in (ours, theirs)
        )
        found.append(_squared_discrepancy(*(subset.astype(np.float64) for subset in chosen)))
    return float(np.mean(found)), float(np.std(found))


def _squared_discrepancy(one: np.ndarray, other: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def mean_without_diagonal(values: np.ndarray) -> float:
        return (values.sum() - np.trace(values)) / (len(values) * (len(values) - 1))

    within = mean_without_diagonal(kernel(one, one)) + mean_without_diagonal(kernel(other, other))
    return within - 2 * kernel(one, other).mean()


def precision_and_recall(
    ours: np.ndarray, theirs: np.ndarray, neighbours: int = 3
) -> tuple[float, float]:
    """How much of ours lies among theirs (precision), and of theirs among ours (recall).

    A set covers the balls round its features that reach to their k-th nearest neighbours in it.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
    models" (2019).

    Args:
        ours: features of drawn images [N, d].
        theirs: features of real images [M, d].
        neighbours: k.

    Raises:
        InvalidArgument: for a set of k images or fewer.
    """
    if neighbours < 1:
        raise InvalidArgument("neighbours", "be positive", neighbours)
    _require_pair(ours, theirs, neighbours + 1, f"a ball needs ({neighbours + 1})")
    # About a common centre, so that little is lost in differences of squares.
    centre = theirs.mean(axis=0, dtype=np.float64)
    ours, theirs = ours - centre, theirs - centre
    return _share_within(ours, theirs, neighbours), _share_within(theirs, ours, neighbours)


def _share_within(points: np.ndarray, centres: np.ndarray, neighbours: int) -> float:
    """The share of the points that lie in a ball of the centres."""
    radii = np.concatenate(
        [
            np.partition(block, neighbours - 1, axis=1)[:, neighbours - 1]
            for block in _squared_distances(centres, centres, without_self=True)
        ]
    )
    covered = [(block <= radii).any(axis=1) for block in _squared_distances(points, centres)]
    return float(np.concatenate(covered).mean())


def _squared_distances(
    points: np.ndarray, centres: np.ndarray, without_self: bool = False
) -> Iterator[np.ndarray]:
    """Of some points after the others to all centres; infinite from a centre to itself."""
    squares = np.sum(centres**2, axis=1)
    rows = max(1, _BLOCK // len(centres))
    for first in range(0, len(points), rows):
        block = points[first : first + rows]
        scale = np.sum(block**2, axis=1)[:, None] + squares
        squared = scale - 2 * block @ centres.T
        # Rounding is not a distance: equal features have none.
        squared[squared < 1e-12 * scale] = 0.0
        if without_self:
            places = np.arange(len(block))
            squared[places, first + places] = np.inf
        yield squared


def inception_score(logits: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """exp E KL(p(y|x) | p(y)) of a classifier's logits [N, classes], from 1 to classes.

    Source: Salimans et al., "Improved techniques for training GANs" (2016): in parts, one after
    the other.

    Returns:
        mean and standard deviation over the parts.

    Raises:
        InvalidArgument: for fewer images than parts.
    """
    require_features("logits", logits)
    if not 1 <= splits <= len(logits):
        at_most = f"be from 1 to the number of images ({len(logits)})"
        raise InvalidArgument("splits", at_most, splits)
    edges = [len(logits) * part // splits for part in range(splits + 1)]
    scores = []
    for first, last in itertools.pairwise(edges):
        log_p = special.log_softmax(logits[first:last].astype(np.float64), axis=1)
        p = np.exp(log_p)
        mean = p.mean(axis=0)
        scores.append(np.exp((p * log_p).sum(axis=1).mean() - special.xlogy(mean, mean).sum()))
    return float(np.mean(scores)), float(np.std(scores))


def _require_pair(ours: np.ndarray, theirs: np.ndarray, at_least: int, reason: str) -> None:
    for name, features in (("ours", ours), ("theirs", theirs)):
        require_features(name, features)
        if len(features) < at_least:
            raise InvalidArgument(name, f"have as many images as {reason}", len(features))
    if ours.shape[1] != theirs.shape[1]:
        raise InvalidArgument("theirs", f"have {ours.shape[1]} features, as ours", theirs.shape[1])
