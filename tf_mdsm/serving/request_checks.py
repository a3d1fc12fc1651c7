"""What a request must look like, checked before it is sent.

The exported graph checks the same. But a server that merges requests of several clients runs
them as one batch, and what one client sends wrongly fails the requests of its neighbours too.
So nothing wrong should reach it.
"""

import numpy as np
import numpy.typing as npt

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.seeds import MAX_SEED, SEED_RANGE

__all__ = ["checked_images", "checked_mask", "checked_seeds", "require_known_in_range"]


def checked_seeds(seeds: npt.ArrayLike) -> np.ndarray:
    """Seeds as int64 [B], each in [0, 2^62], B >= 1; exact, so no floats."""
    array = np.asarray(seeds)
    if array.size == 0 or array.ndim != 1:
        raise InvalidArgument("seeds", "be one integer an image, at least one", _shown(array))
    if array.dtype.kind not in "iu":
        raise InvalidArgument("seeds", f"be integers in {SEED_RANGE}", _shown(array))
    for seed in (int(array.min()), int(array.max())):
        if not 0 <= seed <= MAX_SEED:
            raise InvalidArgument("seeds", f"be integers in {SEED_RANGE}", seed)
    return array.astype(np.int64)


def checked_images(images: npt.ArrayLike, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Images as float32 [B, H, W, C], all finite, B >= 1; integers are refused, as they are
    pixels in 0 … 255 more often than in [0, 1]."""
    array = np.asarray(images)
    wanted = ", ".join(map(str, ("B", *image_shape)))
    if array.ndim != 4 or array.shape[1:] != tuple(image_shape) or len(array) == 0:
        raise InvalidArgument("images", f"be of shape [{wanted}], B >= 1", list(array.shape))
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
    """A mask as float32 [B, H, W, 1], 1 where `images` [B, H, W, C] are known and 0 elsewhere."""
    array = np.asarray(mask)
    wanted = (*images.shape[:3], 1)
    if array.shape != wanted:
        raise InvalidArgument("mask", f"be of shape {list(wanted)}", list(array.shape))
    if array.dtype.kind not in "bifu" or not np.isin(array, (0, 1)).all():
        raise InvalidArgument("mask", "be 1 (known) or 0 everywhere", _shown(np.unique(array)))
    return array.astype(np.float32)


def require_known_in_range(images: np.ndarray, mask: np.ndarray) -> None:
    """Known pixels must be pixels: they come back among the sampled ones, in [0, 1]."""
    known = images[np.broadcast_to(mask == 1, images.shape)]
    outside = known[(known < 0) | (known > 1)]
    if outside.size:
        raise InvalidArgument("images", "lie in [0, 1] where they are known", outside[0])


def _shown(array: np.ndarray) -> str:
    if array.ndim == 0:
        return repr(array.item())
    if array.ndim > 1 or array.size == 0:
        return f"shape {list(array.shape)}"
    values = ", ".join(repr(value) for value in array[:5].tolist())
    return values + (", …" if array.size > 5 else "")
