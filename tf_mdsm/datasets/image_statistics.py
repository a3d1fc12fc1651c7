"""The Gaussian of a set of images: mean and covariance, or its leading components."""

import dataclasses
import zipfile

import numpy as np
from scipy import linalg

from tf_mdsm.errors import RunError
from tf_mdsm.system.atomic import atomic_write

__all__ = ["ImageStatistics", "fit_statistics", "load_statistics", "save_statistics"]

# Images that are read at a time, and that stand for all where a covariance would be too large.
_BATCH, _SUBSET = 1_024, 2_048


@dataclasses.dataclass(frozen=True)
class ImageStatistics:
    """Covariance C = sum_i (variances_i - residual) v_i v_i' + residual I (probabilistic PCA).

    Attributes:
        mean: float32 [H, W, C].
        components: orthonormal v_i, leading first, float32 [r, H, W, C].
        variances: along them, never rising, float32 [r].
        residual_variance: mean variance along all other directions; 0 if there are none.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    residual_variance: float


def fit_statistics(
    images: np.ndarray, max_components: int = 1_024, max_pixels: int = 4_096
) -> ImageStatistics:
    """Mean and covariance of images, in one pass over them.

    Args:
        images: uint8, or float in [0, 1], [N, H, W, C].
        max_components: keep the leading ones (1,024: all of a 32x32 grey image; 12 MB for
            32x32 colour).
        max_pixels: up to this number d of values an image, the exact covariance, d x d;
            above it, that of 2,048 of the images.
    """
    shape, size = images.shape[1:], int(np.prod(images.shape[1:]))
    if size > max_pixels:
        stride = -(-len(images) // _SUBSET)
        mean, variances, components, total = _from_samples(_flat_floats(images[::stride]))
    else:
        mean, variances, components, total = _from_covariance(images, size)
    kept = min(max_components, len(variances))
    variances = np.maximum(variances[:kept], 0.0)
    rest = max(total - variances.sum(), 0.0)
    return ImageStatistics(
        mean.reshape(shape).astype(np.float32),
        np.ascontiguousarray(components[:kept], np.float32).reshape(kept, *shape),
        variances.astype(np.float32),
        float(rest / (size - kept)) if size > kept else 0.0,
    )


def _flat_floats(images: np.ndarray) -> np.ndarray:
    scale = 1 / 255 if images.dtype == np.uint8 else 1.0
    return images.reshape(len(images), -1).astype(np.float32) * np.float32(scale)


def _from_covariance(images: np.ndarray, size: int):
    """Mean [d], variances [d] from the largest down, directions [d, d], their total."""
    total, products = np.zeros(size), np.zeros((size, size))
    for first in range(0, len(images), _BATCH):
        # About 1/2, so that single precision is enough within a batch.
        batch = _flat_floats(images[first : first + _BATCH]) - np.float32(0.5)
        total += batch.sum(axis=0, dtype=np.float64)
        products += batch.T @ batch
    mean = total / len(images)
    variances, directions = linalg.eigh(products / len(images) - np.outer(mean, mean))
    return mean + 0.5, variances[::-1], directions.T[::-1], variances.sum()


def _from_samples(flat: np.ndarray):
    """The same of a few images of many pixels, from their scalar products [N, N]."""
    mean = flat.mean(axis=0, dtype=np.float64).astype(np.float32)
    centred = flat - mean
    variances, weights = linalg.eigh((centred @ centred.T / len(flat)).astype(np.float64))
    # Centring takes one dimension away, equal images others: rounding is what is left of them.
    kept = np.flatnonzero(variances > 1e-6 * max(variances[-1], 1e-12))[::-1]
    variances, directions = variances[kept], weights[:, kept].astype(np.float32).T @ centred
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return mean, variances, directions, variances.sum()


def save_statistics(statistics: ImageStatistics, path: str) -> None:
    """Writes them as `.npz`, whole or not at all."""
    with atomic_write(path) as partial:
        np.savez(partial, **dataclasses.asdict(statistics))


def load_statistics(path: str) -> ImageStatistics | None:
    """Reads them back; None if there is no such file.

    Raises:
        RunError: if it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            fields = {
                field.name: arrays[field.name] for field in dataclasses.fields(ImageStatistics)
            }
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} cannot be read ({error})") from error
    return ImageStatistics(**{**fields, "residual_variance": float(fields["residual_variance"])})
