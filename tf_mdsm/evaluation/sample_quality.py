"""Sample quality from features: Fréchet and kernel distance, precision, recall, inception score.

All functions take features (or logits) of any extractor, and compute in float64.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import linalg, special

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import FeatureStatistics
from tf_mdsm.evaluation.features import require_features

__all__ = ["frechet_distance", "inception_score", "kernel_distance", "precision_and_recall"]

# Distances that are held in memory at a time (128 MB).
_BLOCK = 2**24

# Images whose features are converted to float64 at a time.
_ROWS = 4_096


def frechet_distance(samples: FeatureStatistics, reference: FeatureStatistics) -> float:
    """Fréchet distance of two Gaussians; in features of Inception it is FID.

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

    The last trace is computed as the sum of the singular values of C1^(1/2) C2^(1/2), which are
    accurate to the last digits of the largest one. Eigenvalues of the product would be their
    squares, whose roots are accurate to half of the digits only.

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal
    distributions" (1982); Heusel et al., "GANs trained by a two time-scale update rule" (2017).

    Args:
        samples: feature statistics of one set of images, such as samples.
        reference: feature statistics of the other.

    Raises:
        InvalidArgument: for fewer images than features, whose covariance is poorly determined, or
            for different numbers of features.
    """
    size = len(samples.mean)
    if len(reference.mean) != size:
        as_samples = f"have {size} features, as the samples"
        raise InvalidArgument("reference", as_samples, len(reference.mean))
    for name, statistics in (("samples", samples), ("reference", reference)):
        if statistics.count is not None and statistics.count < size:
            at_least = f"have at least as many images as features ({size})"
            raise InvalidArgument(name, at_least, statistics.count)
    roots = _symmetric_root(samples.covariance) @ _symmetric_root(reference.covariance)
    means = np.sum((samples.mean - reference.mean) ** 2)
    traces = np.trace(samples.covariance) + np.trace(reference.covariance)
    singular_values = np.asarray(linalg.svdvals(roots))
    return max(0.0, float(means + traces - 2 * singular_values.sum()))


def _symmetric_root(covariance: np.ndarray) -> np.ndarray:
    variances, directions = linalg.eigh((covariance + covariance.T) / 2, driver="evd")
    # Variances below this are rounding errors, perhaps negative.
    smallest = len(variances) * np.finfo(np.float64).eps * max(variances[-1], 0.0)
    return directions * np.sqrt(np.where(variances > smallest, variances, 0.0)) @ directions.T


def kernel_distance(
    samples: np.ndarray,
    reference: np.ndarray,
    subsets: int = 100,
    subset_size: int = 1_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Squared maximum mean discrepancy (MMD^2); in features of Inception it is KID.

    The kernel is k(x, y) = (x'y/d + 1)^3. The unbiased estimator, which may be below 0, is
    computed on random subsets.

    Source: Bińkowski et al., "Demystifying MMD GANs" (2018).

    Args:
        samples: features [N, d].
        reference: features [M, d].
        subsets: number of pairs of subsets.
        subset_size: number of images in each subset.
        seed: seed of the random choice.

    Returns:
        mean and standard deviation over the subsets.

    Raises:
        InvalidArgument: for fewer images than a subset has.
    """
    for name, value, least in (("subsets", subsets, 1), ("subset_size", subset_size, 2)):
        if value < least:
            raise InvalidArgument(name, f"be at least {least}", value)
    _require_pair(samples, reference, subset_size, f"a subset has ({subset_size})")
    generator = np.random.default_rng(seed)
    estimates = []
    for _ in range(subsets):
        chosen = (
            features[generator.choice(len(features), subset_size, replace=False)]
            for features in (samples, reference)
        )
        estimates.append(_squared_discrepancy(*(subset.astype(np.float64) for subset in chosen)))
    return float(np.mean(estimates)), float(np.std(estimates))


def _squared_discrepancy(one: np.ndarray, other: np.ndarray) -> float:
    """Unbiased estimate of MMD^2 from features of two sets of one size, [n, d] each."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def mean_without_diagonal(values: np.ndarray) -> float:
        return (values.sum() - np.trace(values)) / (len(values) * (len(values) - 1))

    within = mean_without_diagonal(kernel(one, one)) + mean_without_diagonal(kernel(other, other))
    return within - 2 * kernel(one, other).mean()


def precision_and_recall(
    samples: np.ndarray, reference: np.ndarray, neighbors: int = 3
) -> tuple[float, float]:
    """Precision and recall of samples, by nearest neighbors in features.

    Precision is the fraction of samples in the region of the reference images, recall the fraction
    of reference images in the region of the samples. The region of a set is the union of balls
    around its features that reach to their k-th nearest neighbors in the set.

    Source: Kynkäänniemi et al., "Improved precision and recall metric for assessing generative
    models" (2019).

    Args:
        samples: features of generated images, [N, d].
        reference: features of real images, [M, d].
        neighbors: k.

    Returns:
        precision and recall.

    Raises:
        InvalidArgument: for a set of k images or fewer.
    """
    if neighbors < 1:
        raise InvalidArgument("neighbors", "be positive", neighbors)
    _require_pair(samples, reference, neighbors + 1, f"a ball needs ({neighbors + 1})")
    # The mean is subtracted, so that differences of squares are accurate.
    mean = reference.mean(axis=0, dtype=np.float64)
    precision = _fraction_covered(samples, reference, mean, neighbors)
    recall = _fraction_covered(reference, samples, mean, neighbors)
    return precision, recall


def _fraction_covered(
    points: np.ndarray, centers: np.ndarray, mean: np.ndarray, neighbors: int
) -> float:
    """The fraction of the points that lie in the ball of some center."""
    radii = np.concatenate(
        [
            np.partition(block, neighbors - 1, axis=1)[:, neighbors - 1]
            for block in _squared_distances(centers, centers, mean, without_self=True)
        ]
    )
    covered = [(block <= radii).any(axis=1) for block in _squared_distances(points, centers, mean)]
    return float(np.concatenate(covered).mean())


def _squared_distances(
    points: np.ndarray, centers: np.ndarray, mean: np.ndarray, without_self: bool = False
) -> Iterator[np.ndarray]:
    """Squared distances of blocks of points to all centers, [block, centers], in float64.

    With `without_self`, the distance of a center to itself is infinite. The mean is subtracted
    from both.
    """
    rows = min(_ROWS, max(1, _BLOCK // len(centers)))
    for first in range(0, len(points), rows):
        block = points[first : first + rows] - mean
        squared = np.empty((len(block), len(centers)))
        for start in range(0, len(centers), _ROWS):
            some = slice(start, start + _ROWS)
            squared[:, some] = _squared_distances_of_block(block, centers[some] - mean)
        if without_self:
            indices = np.arange(len(block))
            squared[indices, first + indices] = np.inf
        yield squared


def _squared_distances_of_block(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Squared distances [points, centers] in float64."""
    scale = np.sum(points**2, axis=1)[:, None] + np.sum(centers**2, axis=1)
    squared = scale - 2 * points @ centers.T
    # Rounding errors are set to 0, the distance of equal features.
    squared[squared < 1e-12 * scale] = 0.0
    return squared


def inception_score(logits: np.ndarray, splits: int = 10) -> tuple[float, float]:
    """Inception score exp E KL(p(y|x) | p(y)) of a classifier, from 1 to the number of classes.

    The images are split into consecutive parts, as in the source.

    Source: Salimans et al., "Improved techniques for training GANs" (2016).

    Args:
        logits: logits of the classifier, [N, classes].
        splits: number of parts.

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


def _require_pair(samples: np.ndarray, reference: np.ndarray, at_least: int, reason: str) -> None:
    """Refuses features of too few images, or of two different sizes."""
    for name, features in (("samples", samples), ("reference", reference)):
        require_features(name, features)
        if len(features) < at_least:
            raise InvalidArgument(name, f"have as many images as {reason}", len(features))
    size = samples.shape[1]
    if reference.shape[1] != size:
        as_samples = f"have {size} features, as the samples"
        raise InvalidArgument("reference", as_samples, reference.shape[1])
