"""The Gaussian of a set of features: mean and covariance, and the files that hold them."""

import dataclasses
from collections.abc import Iterable

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


@dataclasses.dataclass(frozen=True)
class FeatureStatistics:
    """The Gaussian of a set of features.

    Attributes:
        count: how many images it is of; None where a file does not say.
        mean: float64 [d].
        covariance: unbiased (divided by count - 1), float64 [d, d].
    """

    count: int | None
    mean: np.ndarray
    covariance: np.ndarray


def fit_feature_statistics(batches: Iterable[np.ndarray]) -> FeatureStatistics:
    """Mean and covariance of features that come in batches, [B, d] each, in one pass.

    Sums are of deviations from the mean so far: no difference of large numbers.

    Source: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances" (1979).

    Raises:
        InvalidArgument: for fewer than two images, and for features that are not finite.
    """
    count, mean, scatter = 0, np.zeros(()), np.zeros(())
    for batch in batches:
        require_features("batches", batch)
        batch_mean = batch.mean(axis=0, dtype=np.float64)
        centred = batch - batch_mean
        together, shift = count + len(batch), batch_mean - mean
        weight = count * len(batch) / together
        scatter = scatter + centred.T @ centred + weight * np.outer(shift, shift)
        mean = mean + shift * (len(batch) / together)
        count = together
    if count < 2:
        raise InvalidArgument("batches", "hold the features of at least 2 images", count)
    return FeatureStatistics(count, mean, scatter / (count - 1))


def save_feature_statistics(statistics: FeatureStatistics, path: str) -> None:
    """Writes `.npz` with `mu` and `sigma`, as other programs read them, and `count`."""
    arrays = {"mu": statistics.mean, "sigma": statistics.covariance}
    if statistics.count is not None:
        arrays["count"] = np.array(statistics.count)
    with atomic_write(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def load_feature_statistics(path: str, size: int) -> FeatureStatistics:
    """Reads `mu` and `sigma` of an `.npz` file, ours or another program's.

    Args:
        path: the file.
        size: features of an image that it must have.

    Raises:
        InvalidArgument: for a file that cannot be read, or is of another number of features.
    """
    arrays = read_npz_arrays(path, ["mu", "sigma"], optional=["count"])
    try:
        mean, covariance = (arrays[name].astype(np.float64) for name in ("mu", "sigma"))
        count = int(arrays["count"]) if "count" in arrays else None
    except (TypeError, ValueError) as error:
        raise InvalidArgument("path", f"hold numbers ({error})", path) from error
    if mean.shape != (size,) or covariance.shape != (size, size):
        found = f"{mean.shape} and {covariance.shape} in {path}"
        raise InvalidArgument("path", f"hold mu [{size}] and sigma [{size}, {size}]", found)
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InvalidArgument("path", "hold finite numbers", path)
    return FeatureStatistics(count, mean, covariance)
