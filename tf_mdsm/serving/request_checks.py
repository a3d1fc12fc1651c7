"""Checks of a request before the client sends it.

The exported graph makes the same checks. But a server that merges requests of several clients
runs them as one batch. If one of them is invalid, the whole batch fails, with the requests of the
other clients. So the client does not send invalid requests.
"""

import numpy as np
import numpy.typing as npt

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.seeds import MAX_SEED, SEED_RANGE
from tf_mdsm.system.shapes import fits

__all__ = ["checked_images", "checked_mask", "checked_seeds", "require_known_in_range"]


def checked_seeds(seeds: npt.ArrayLike) -> np.ndarray:
    """Seeds as int64 [B], each in [0, 2^62], B >= 1.

    Raises:
        InvalidArgument: for other values, and for floats, which cannot hold all seeds exactly.
    """
    array = _array("seeds", seeds)
    if array.size == 0 or array.ndim != 1:
        raise InvalidArgument("seeds", "be one integer per image, at least one", _summary(array))
    if array.dtype.kind not in "iu":
        raise InvalidArgument("seeds", f"be integers in {SEED_RANGE}", _summary(array))
    for seed in (int(array.min()), int(array.max())):
        if not 0 <= seed <= MAX_SEED:
            raise InvalidArgument("seeds", f"be integers in {SEED_RANGE}", seed)
    return array.astype(np.int64)


def checked_images(
    images: npt.ArrayLike, image_shape: tuple[int | None, int | None, int]
) -> np.ndarray:
    """Images as float32 [B, H, W, C], all finite, B >= 1.

    Args:
        images: floats.
        image_shape: height, width and channels that the images must have; None: any number.

    Raises:
        InvalidArgument: for another shape, for values that are not finite in float32, and for
            integers, which usually are pixels in 0 … 255 instead of [0, 1].
    """
    array = _array("images", images)
    sizes = [size or letter for size, letter in zip(image_shape, "HWC", strict=True)]
    required = ", ".join(map(str, ("B", *sizes)))
    if not (fits(array.shape[1:], tuple(image_shape)) and len(array)):
        raise InvalidArgument("images", f"be of shape [{required}], B >= 1", list(array.shape))
    if array.dtype.kind != "f":
        raise InvalidArgument("images", "be floats, pixels in [0, 1]", array.dtype)
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    finite = np.isfinite(array).all(axis=(1, 2, 3))
    if not finite.all():
        raise InvalidArgument(
            "images", "be finite", f"image {int(np.argmin(finite))}, which is not"
        )
    return array


def checked_mask(mask: npt.ArrayLike, images: np.ndarray) -> np.ndarray:
    """A mask as float32 [B, H, W, 1], 1 where `images` [B, H, W, C] are known and 0 elsewhere.

    Raises:
        InvalidArgument: for another shape or other values.
    """
    array = _array("mask", mask)
    shape = (*images.shape[:3], 1)
    if array.shape != shape:
        raise InvalidArgument("mask", f"be of shape {list(shape)}", list(array.shape))
    if array.dtype.kind not in "bifu" or not np.isin(array, (0, 1)).all():
        raise InvalidArgument("mask", "be 1 (known) or 0 everywhere", _summary(np.unique(array)))
    return array.astype(np.float32)


def require_known_in_range(images: np.ndarray, mask: np.ndarray) -> None:
    """Requires that known pixels lie in [0, 1], since they are returned among sampled pixels.

    Args:
        images: [B, H, W, C].
        mask: [B, H, W, 1], 1 where known.

    Raises:
        InvalidArgument: if a known pixel lies outside [0, 1].
    """
    known = images[np.broadcast_to(mask == 1, images.shape)]
    outside = known[(known < 0) | (known > 1)]
    if outside.size:
        raise InvalidArgument("images", "lie in [0, 1] where they are known", outside[0])


def _array(name: str, values: npt.ArrayLike) -> np.ndarray:
    """Values as an array.

    Raises:
        InvalidArgument: for lists whose parts have different lengths.
    """
    try:
        return np.asarray(values)
    except ValueError as error:
        raise InvalidArgument(name, "be one array", "lists of different lengths") from error


def _summary(array: np.ndarray) -> str:
    """An array as a short text: its first values, or its shape if it has several dimensions."""
    if array.ndim == 0:
        return repr(array.item())
    if array.ndim > 1 or array.size == 0:
        return f"shape {list(array.shape)}"
    values = ", ".join(repr(value) for value in array[:5].tolist())
    return values + (", …" if array.size > 5 else "")
