"""Feature extractors: networks that map images to features, to compare sets of images."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.visualization.images import to_uint8

__all__ = ["FeatureExtractor", "extract_in_batches", "fingerprint", "require_features"]


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """A network that maps images to features and logits.

    Distances by two different extractors must not be compared with each other.

    Attributes:
        name: name that is reported with every number, such as `classifier(fashion_mnist)`.
        fingerprint: hash of the network's weights, by `fingerprint`.
        size: number of features of an image.
        extract: images, uint8 or float in [0, 1], [N, H, W, C], to features, float32 [N, size],
            and logits, float32 [N, classes].
    """

    name: str
    fingerprint: str
    size: int
    extract: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def fingerprint(contents: Iterable[bytes | memoryview]) -> str:
    """The first 16 hexadecimal digits of the SHA-256 hash of all contents in their order."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()[:16]


def extract_in_batches(
    network: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    images: np.ndarray,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Extracts features and logits from any number of images, for `FeatureExtractor.extract`.

    Floats are rounded to 256 levels first, as image files are. So an image has the same features
    before and after it is saved.

    Args:
        network: a batch, uint8 [B, H, W, C], to features and logits, [B, ...] each.
        images: uint8, or float in [0, 1], [N, H, W, C], N > 0.
        batch_size: images at a time; the last batch may be smaller.

    Returns:
        features and logits, float32 [N, ...] each, in one array each.

    Raises:
        InvalidArgument: for no images, or pixels of another type or range.
    """
    if images.ndim != 4 or not len(images):
        raise InvalidArgument("images", "be images [N, H, W, C]", images.shape)
    features = logits = np.empty(0)
    for first in range(0, len(images), batch_size):
        rows = slice(first, first + batch_size)
        batch = network(_to_levels(images[rows]))
        if not first:
            features, logits = (
                np.empty((len(images), *values.shape[1:]), np.float32) for values in batch
            )
        features[rows], logits[rows] = batch
    return features, logits


def _to_levels(images: np.ndarray) -> np.ndarray:
    """Images as uint8."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise InvalidArgument("images", "be uint8 or float", images.dtype)
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):
        raise InvalidArgument("images", "have pixels in [0, 1]", f"[{low:.4g}, {high:.4g}]")
    return to_uint8(images)


def require_features(field: str, values: np.ndarray) -> None:
    """Refuses an array that is not features: finite numbers, [N, d], N > 0.

    Args:
        field: name of the argument, for the message.
        values: the array.

    Raises:
        InvalidArgument: about `field`.
    """
    if values.ndim != 2 or not len(values):
        raise InvalidArgument(field, "be features [N, d]", values.shape)
    if not np.isfinite(values).all():
        raise InvalidArgument(field, "be finite numbers", "NaN or infinity")
