"""Mean and covariance of a set of images, as leading principal components."""

import dataclasses
import zipfile
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from tf_mdsm.datasets.image_mixture import ImageMixture, fit_mixture
from tf_mdsm.datasets.pixels import flat_floats
from tf_mdsm.errors import RunError
from tf_mdsm.system.atomic import atomic_write

__all__ = ["ImageStatistics", "fit_statistics", "load_statistics", "save_statistics"]

# Images that are read at a time.
_BATCH_SIZE = 1_024
# Number of images that are used where the covariance of all would be too large.
_SUBSET_SIZE = 2_048
# How the names of a mixture's arrays begin in a file.
_MIXTURE = "mixture_"


@dataclasses.dataclass(frozen=True)
class ImageStatistics:
    """Mean and covariance C = sum_i (variances_i - residual) v_i v_i' + residual I of images.

    This is the form of probabilistic principal component analysis (Tipping and Bishop, 1999).

    Attributes:
        mean: float32 [H, W, C].
        components: orthonormal directions v_i, largest variance first, float32 [r, H, W, C].
        variances: variances along the components, in descending order, float32 [r].
        residual_variance: mean variance along all other directions; 0 if there are no others.
        mixture: a mixture of Gaussians in the leading components; None if none was fitted.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    residual_variance: float
    mixture: ImageMixture | None = None

    def gaussian(self) -> dict[str, Any]:
        """Mean and covariance alone, as arguments of a Gaussian."""
        names = ("mean", "components", "variances", "residual_variance")
        return {name: getattr(self, name) for name in names}

    def with_mixture(self, images: np.ndarray, *, sigma: float) -> "ImageStatistics":
        """The same with a mixture of Gaussians of the images; arguments as of `fit_mixture`."""
        mixture = fit_mixture(images, self.mean, self.components, sigma=sigma)
        return dataclasses.replace(self, mixture=mixture)


def fit_statistics(
    images: np.ndarray, max_components: int = 1_024, max_pixels: int = 4_096
) -> ImageStatistics:
    """Computes mean and covariance of images in one pass over them.

    Args:
        images: uint8, or float in [0, 1], [N, H, W, C].
        max_components: number of leading components to keep. 1,024 are all components of a 32x32
            gray image; of 32x32 color images they take 12 MB.
        max_pixels: images of at most this number d = H W C of values get their exact covariance,
            d x d. For larger images, at most 2,048 of the images are used, evenly spaced.
    """
    shape, size = images.shape[1:], int(np.prod(images.shape[1:]))
    if size > max_pixels:
        stride = -(-len(images) // _SUBSET_SIZE)
        analysis = _analyze_products(flat_floats(images[::stride]))
    else:
        analysis = _analyze_covariance(images, size)
    kept = min(max_components, len(analysis.variances))
    variances = np.maximum(analysis.variances[:kept], 0.0)
    remaining_variance = max(analysis.total_variance - variances.sum(), 0.0)
    return ImageStatistics(
        mean=analysis.mean.reshape(shape).astype(np.float32),
        components=np.ascontiguousarray(analysis.directions[:kept], np.float32).reshape(
            kept, *shape
        ),
        variances=variances.astype(np.float32),
        residual_variance=float(remaining_variance / (size - kept)) if size > kept else 0.0,
    )


def save_statistics(statistics: ImageStatistics, path: str) -> None:
    """Writes the statistics to an `.npz` file, atomically."""
    with atomic_write(path) as partial:
        mixture = dataclasses.asdict(statistics.mixture) if statistics.mixture else {}
        named = {f"{_MIXTURE}{name}": array for name, array in mixture.items()}
        np.savez(partial, **statistics.gaussian(), **named)


def load_statistics(path: str) -> ImageStatistics | None:
    """Reads the statistics that `save_statistics` wrote; None if the file does not exist.

    Raises:
        RunError: if the file cannot be read.
    """
    try:
        # NumPy would leave a damaged file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = dict(archive)
        mixture = {
            name.removeprefix(_MIXTURE): arrays.pop(name)
            for name in list(arrays)
            if name.startswith(_MIXTURE)
        }
        return ImageStatistics(
            mean=arrays["mean"],
            components=arrays["components"],
            variances=arrays["variances"],
            residual_variance=float(arrays["residual_variance"]),
            mixture=ImageMixture(**mixture) if mixture else None,
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} cannot be read ({error})") from error


class _PrincipalComponents(NamedTuple):
    """Principal components of flat images of d values.

    Attributes:
        mean: [d].
        variances: in descending order, [r].
        directions: orthonormal, [r, d].
        total_variance: sum of all variances.
    """

    mean: np.ndarray
    variances: np.ndarray
    directions: np.ndarray
    total_variance: float


def _analyze_covariance(images: np.ndarray, size: int) -> _PrincipalComponents:
    """Eigenvalues and eigenvectors of the images' covariance, d x d."""
    total, products = np.zeros(size), np.zeros((size, size))
    for first in range(0, len(images), _BATCH_SIZE):
        # Values are centered around 1/2, so that single precision is enough within a batch.
        batch = flat_floats(images[first : first + _BATCH_SIZE]) - np.float32(0.5)
        total += batch.sum(axis=0, dtype=np.float64)
        products += batch.T @ batch
    mean = total / len(images)
    variances, directions = linalg.eigh(products / len(images) - np.outer(mean, mean))
    return _PrincipalComponents(mean + 0.5, variances[::-1], directions.T[::-1], variances.sum())


def _analyze_products(flat: np.ndarray) -> _PrincipalComponents:
    """The same from the scalar products of N flat images [N, d], N x N, for N much less than d."""
    mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = flat - mean
    variances, weights = linalg.eigh((centered @ centered.T / len(flat)).astype(np.float64))
    # Centering makes one variance zero, and equal images make others zero. Rounding errors remain
    # of these variances; their directions are dropped.
    kept = np.flatnonzero(variances > 1e-6 * max(variances[-1], 1e-12))[::-1]
    variances, directions = variances[kept], weights[:, kept].astype(np.float32).T @ centered
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return _PrincipalComponents(mean, variances, directions, variances.sum())
