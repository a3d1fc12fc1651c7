"""What describes an image before sets of images are compared, and by whose weights."""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.visualization.images import to_uint8

__all__ = ["Features", "extract_in_batches", "fingerprint", "require_features"]


@dataclasses.dataclass(frozen=True)
class Features:
    """A network that describes images; distances by two of them are not to be compared.

    Attributes:
        name: what is printed beside every number: `classifier(fashion_mnist)`.
        fingerprint: of its weights: `fingerprint` below.
        size: features of an image.
        extract: images, uint8 or float in [0, 1], [N, H, W, C], to features, float64 [N, size],
            and logits, float64 [N, classes].
    """

    name: str
    fingerprint: str
    size: int
    extract: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def fingerprint(contents: Iterable[bytes | memoryview]) -> str:
    """The first 16 hexadecimal digits of SHA-256 of all contents, one after the other."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()[:16]


def extract_in_batches(
    network: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    images: np.ndarray,
    batch_size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Features and logits of any number of images, as `Features.extract` has them.

    Floats are rounded to 256 levels first, as image files are: an image has the same features
    before it was saved and after.

    Args:
        network: a batch, uint8 [B, H, W, C], to features and logits, [B, ...] each.
        images: uint8, or float in [0, 1], [N, H, W, C], N > 0.
        batch_size: images at a time; the last may be fewer.

    Raises:
        InvalidArgument: for no images, and for pixels that are neither.
    """
    if images.ndim != 4 or not len(images):
        raise InvalidArgument("images", "be images [N, H, W, C]", images.shape)
    parts = [
        network(_levels(images[first : first + batch_size]))
        for first in range(0, len(images), batch_size)
    ]
    features, logits = (
        np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True)
    )
    return features, logits


def _levels(images: np.ndarray) -> np.ndarray:
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise InvalidArgument("images", "be uint8 or float", images.dtype)
    low, high = images.min(), images.max()
    if not (low >= 0 and high <= 1):
        raise InvalidArgument("images", "have pixels in [0, 1]", f"[{low:.4g}, {high:.4g}]")
    return to_uint8(images)


def require_features(field: str, values: np.ndarray) -> None:
    """Refuses what is no array of finite numbers [N, d], N > 0, as argument `field`."""
    if values.ndim != 2 or not len(values):
        raise InvalidArgument(field, "be features [N, d]", values.shape)
    if not np.isfinite(values).all():
        raise InvalidArgument(field, "be finite numbers", "NaN or infinity")
