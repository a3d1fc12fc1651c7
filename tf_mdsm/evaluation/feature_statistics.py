"""Feature statistics: mean and covariance of features, and the files that hold them."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.features import require_features
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.npz import read_npz_arrays

__all__ = [
    "FeatureStatistics",
    "fit_feature_statistics",
    "load_feature_statistics",
    "save_feature_statistics",
]

# Images whose features are summed at a time.
_ROWS = 1_024


@dataclasses.dataclass(frozen=True)
class FeatureStatistics:
    """Mean and covariance of the features of a set of images.

    Attributes:
        count: number of images; None if a file does not contain it.
        mean: float64 [d].
        covariance: unbiased (divided by count - 1), float64 [d, d].
    """

    count: int | None
    mean: np.ndarray
    covariance: np.ndarray


def fit_feature_statistics(batches: Iterable[np.ndarray]) -> FeatureStatistics:
    """Computes mean and covariance of features that come in batches, [B, d] each, in one pass.

    Deviations from the mean so far are summed. So no large numbers are subtracted from each other.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979).

    Raises:
        InvalidArgument: for fewer than two images, and for features that are not finite.
    """
    count, mean, scatter = 0, np.zeros(()), np.zeros(())
    for batch in _in_blocks(batches):
        batch_mean = batch.mean(axis=0, dtype=np.float64)
        centered = batch - batch_mean
        total, shift = count + len(batch), batch_mean - mean
        weight = count * len(batch) / total
        scatter = scatter + centered.T @ centered + weight * np.outer(shift, shift)
        mean = mean + shift * (len(batch) / total)
        count = total
    if count < 2:
        raise InvalidArgument("batches", "hold the features of at least 2 images", count)
    return FeatureStatistics(count, mean, scatter / (count - 1))


def _in_blocks(batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The batches, checked, a few rows at a time: sums are in float64, larger than features."""
    for batch in batches:
        require_features("batches", batch)
        for first in range(0, len(batch), _ROWS):
            yield batch[first : first + _ROWS]


def save_feature_statistics(statistics: FeatureStatistics, path: str) -> None:
    """Writes an `.npz` file with `mu` and `sigma`, as other programs read them, and `count`."""
    arrays: dict[str, Any] = {"mu": statistics.mean, "sigma": statistics.covariance}
    if statistics.count is not None:
        arrays["count"] = np.array(statistics.count)
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def load_feature_statistics(path: str, size: int) -> FeatureStatistics:
    """Reads `mu`, `sigma` and, if it is there, `count` from an `.npz` file of any program.

    Args:
        path: the file.
        size: the expected number of features, d.

    Raises:
        InvalidArgument: for a file that cannot be read, or has another number of features.
    """
    arrays = read_npz_arrays(path, ["mu", "sigma"], optional=["count"])
    try:
        mean, covariance = (arrays[name].astype(np.float64) for name in ("mu", "sigma"))
        count = int(arrays["count"]) if "count" in arrays else None
    except (TypeError, ValueError) as error:
        raise InvalidArgument("path", f"hold numbers ({error})", path) from error
    if mean.shape != (size,) or covariance.shape != (size, size):
        shapes = f"{mean.shape} and {covariance.shape} in {path}"
        raise InvalidArgument("path", f"hold mu [{size}] and sigma [{size}, {size}]", shapes)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InvalidArgument("path", "hold finite numbers", path)
    return FeatureStatistics(count, mean, covariance)
