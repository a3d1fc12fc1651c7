"""Feature statistics: mean and covariance of features, and the files that hold them."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from scipy import linalg

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
        features: fingerprint of the extractor of the features; "" if a file does not say it.
    """

    count: int | None
    mean: np.ndarray
    covariance: np.ndarray
    features: str = ""


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
    """Writes an `.npz` file with `mu` and `sigma`, as other programs read them.

    It holds `count` and `features_hash` besides, where they are known.
    """
    arrays: dict[str, Any] = {"mu": statistics.mean, "sigma": statistics.covariance}
    if statistics.count is not None:
        arrays["count"] = np.array(statistics.count)
    if statistics.features:
        arrays["features_hash"] = np.array(statistics.features)
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def load_feature_statistics(path: str, size: int, features: str = "") -> FeatureStatistics:
    """Reads `mu`, `sigma` and, if they are there, `count` and `features_hash` from an `.npz` file.

    Args:
        path: the file, of any program.
        size: the expected number of features, d.
        features: the expected fingerprint of their extractor. "", or a file that does not say it:
            not compared.

    Raises:
        InvalidArgument: for a file that cannot be read, has other features or another number of
            them, or has a `sigma` that is no covariance.
    """
    arrays = read_npz_arrays(path, ["mu", "sigma"], optional=["count", "features_hash"])
    hash_in_file = arrays.pop("features_hash", None)
    has_hash = hash_in_file is not None and hash_in_file.dtype.kind == "U"
    found = str(hash_in_file) if has_hash else ""
    if features and found and features != found:
        raise InvalidArgument("path", f"hold statistics of the features {features}", found)
    rounding = max(_rounding(arrays[name].dtype) for name in ("mu", "sigma"))
    try:
        if any(np.iscomplexobj(array) for array in arrays.values()):
            raise ValueError("real, not complex")
        mean, covariance = (arrays[name].astype(np.float64) for name in ("mu", "sigma"))
        count = int(arrays["count"]) if "count" in arrays else None
    except (TypeError, ValueError) as error:
        raise InvalidArgument("path", f"hold numbers ({error})", path) from error
    if mean.shape != (size,) or covariance.shape != (size, size):
        shapes = f"{mean.shape} and {covariance.shape} in {path}"
        raise InvalidArgument("path", f"hold mu [{size}] and sigma [{size}, {size}]", shapes)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InvalidArgument("path", "hold finite numbers", path)
    _require_covariance(covariance, rounding, path)
    return FeatureStatistics(count, mean, covariance, found)


def _rounding(dtype: np.dtype) -> float:
    """Relative rounding error of the numbers of a type."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else float(np.finfo(np.float64).eps)


def _require_covariance(matrix: np.ndarray, rounding: float, path: str) -> None:
    """Refuses a matrix that no features have: not symmetric, or with negative variances.

    Both may be off by the rounding of its numbers, with which the errors of eigenvalues grow.
    """
    tolerance = 10 * rounding * len(matrix) * np.abs(matrix).max(initial=0.0)
    asymmetry = float(np.abs(matrix - matrix.T).max(initial=0.0))
    if asymmetry > tolerance:
        received = f"sigma and its transpose differ by {asymmetry:.3g} in {path}"
        raise InvalidArgument("path", "hold a symmetric sigma", received)
    smallest = float(linalg.eigvalsh(matrix, subset_by_index=(0, 0))[0])
    if smallest < -tolerance:
        received = f"a variance of {smallest:.3g} in {path}"
        raise InvalidArgument("path", "hold a sigma without negative variances", received)
