"""Which numbers are pixels: what is black and white in an array, and which arrays are refused."""

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["ROUNDING", "PixelCheck", "as_pixels", "require_noisy_pixels", "to_bytes"]

# Largest values of integers that were never scaled to white, by dtype. White of uint8 is 255; 31
# covers 0 and 1, 17 gray levels, labels. White of uint16 is 65,535; 16,383 covers cameras of 12 and
# 14 bits, and bytes.
_LARGEST_UNSCALED = {np.dtype(np.uint8): 31, np.dtype(np.uint16): 16_383}

# How far rounding may carry floats out of [0, 1].
ROUNDING = 1e-6


class PixelCheck:
    """Checks that all images of a set are pixels; the images come one after another.

    Floats are pixels in [0, 1], uint8 from 0 to 255, and uint16, of pictures only, from 0 to
    65,535. Integers that stay far from white in the whole set are refused: they are 0 and 1,
    labels, or numbers of fewer bits than their dtype has.

    Args:
        field: argument or flag that named the images, for error messages.
    """

    def __init__(self, field: str):
        self._field = field
        self._largest: dict[np.dtype, int] = {}

    def add(self, images: np.ndarray, name: str = "") -> None:
        """Adds images of any shape.

        Args:
            images: uint8, uint16 or floats.
            name: the file that holds them, for error messages.

        Raises:
            InvalidArgument: for floats outside [0, 1], rounding apart.
        """
        if images.size:
            self.add_range(images.dtype, images.min(), images.max(), name)

    def add_range(self, dtype: np.dtype, low: float, high: float, name: str = "") -> None:
        """The same as `add`, for images whose smallest and largest value are known."""
        if dtype.kind != "f":
            self._largest[dtype] = max(self._largest.get(dtype, 0), int(high))
        elif not (low >= -ROUNDING and high <= 1 + ROUNDING):  # Also if one of them is NaN.
            received = _received(f"[{low:.9g}, {high:.9g}]", name)
            raise InvalidArgument(self._field, "hold pixels in [0, 1]", received)

    def require_dtype(self, dtype: np.dtype | type, name: str = "") -> None:
        """Refuses an array whose dtype does not say what is white.

        Raises:
            InvalidArgument: for all dtypes but uint8 and floats.
        """
        dtype = np.dtype(dtype)
        if dtype != np.uint8 and dtype.kind != "f":
            requirement = "hold pixels of uint8, or floats in [0, 1]"
            raise InvalidArgument(self._field, requirement, _received(str(dtype), name))

    def finish(self) -> None:
        """Checks the set as a whole, after its last image.

        Raises:
            InvalidArgument: if the largest of its integers is far from white.
        """
        for dtype, largest in self._largest.items():
            if 0 < largest <= _LARGEST_UNSCALED[dtype]:
                white = np.iinfo(dtype).max
                requirement = (
                    f"hold {dtype} of which {white} is white "
                    "(images that are so dark can be given as floats in [0, 1])"
                )
                raise InvalidArgument(self._field, requirement, f"no value above {largest}")


def require_noisy_pixels(images: np.ndarray, field: str, name: str = "") -> None:
    """Refuses floats that are not pixels around [0, 1], with or without noise.

    Noise of any level is symmetric: it does not make values far above 1 and none below 0, and no
    values that end at -1 and 1 exactly. Images of one pixel, points of a plane, are any numbers.

    Args:
        images: floats [N, H, W, C].
        field: argument or flag that named them.
        name: the file that holds them.

    Raises:
        InvalidArgument: for pixels in [0, 255] or [-1, 1].
    """
    if images.shape[1:3] == (1, 1) or not images.size:
        return
    low, high = images.min(), images.max()
    if (low >= 0 and high > 2) or (low, high) == (-1, 1):
        requirement = "hold pixels of which 0 is black and 1 is white, with or without noise"
        raise InvalidArgument(field, requirement, _received(f"[{low:.9g}, {high:.9g}]", name))


def as_pixels(images: np.ndarray) -> np.ndarray:
    """Images that `PixelCheck` has passed: uint8 as they are, floats as float32 in [0, 1].

    What rounding carried out of [0, 1] is cut off; floats are not copied if nothing changes.
    """
    if images.dtype == np.uint8:
        return images
    images = images.astype(np.float32, copy=False)
    is_right = not images.size or (images.min() >= 0 and images.max() <= 1)
    return images if is_right else images.clip(0, 1)


def to_bytes(pixels: np.ndarray) -> np.ndarray:
    """Pixels of a picture, uint8 or uint16, as uint8."""
    return pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)


def _received(values: str, name: str) -> str:
    return f"{name}, {values}" if name else values
