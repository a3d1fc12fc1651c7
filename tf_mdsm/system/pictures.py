"""Picture files: read by Pillow as arrays, upright, in color, by one list of formats.

Pillow knows dozens of formats and chooses by a file's content, whatever its name. For some of them
it starts another program. So every file is opened with the formats that are named here.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from tf_mdsm.system.npz import ARRAY_READ_ERRORS, require_file
from tf_mdsm.system.pixel_values import ROUNDING

__all__ = [
    "FORMATS",
    "PICTURE_ENDINGS",
    "PICTURE_READ_ERRORS",
    "bits_of",
    "has_transparency",
    "is_gray",
    "open_picture",
    "pixels_of",
    "read_picture",
    "require_white",
]

# Endings of the names of pictures, by format.
_ENDINGS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".pbm", ".pgm", ".ppm", ".pnm"),
}
# What Pillow may take a file for.
FORMATS = tuple(_ENDINGS)
# Endings of the names of files that are pictures, in small letters.
PICTURE_ENDINGS = tuple(ending for endings in _ENDINGS.values() for ending in endings)

# Errors for damaged pictures, files of another kind, and pictures of too many pixels.
PICTURE_READ_ERRORS = (
    *ARRAY_READ_ERRORS,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)

# Tags of TIFF.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _SIGNED = 0, 2


def read_picture(path: str) -> np.ndarray:
    """Reads a picture: turned upright, in color, transparent parts on black.

    Args:
        path: a file of one of `FORMATS`. Of several frames or pages, the first is read.

    Returns:
        pixels [H, W, 3], uint8 (255 is white), or uint16 (65,535 is white) of a picture of more
        than 8 bits a channel; of floats in [0, 1], the nearest uint8.

    Raises:
        Exception: one of `PICTURE_READ_ERRORS`, if the file cannot be read as a picture, has more
            than 90 million pixels, or does not say which of its numbers is white.
    """
    with open_picture(path) as image:
        return pixels_of(image)


def pixels_of(image: Image.Image) -> np.ndarray:
    """The pixels of a picture that is open: the array of `read_picture`, with its errors."""
    bits, white_is_zero = bits_of(image), _tag(image, _PHOTOMETRIC) == (_WHITE_IS_ZERO,)
    require_white(image)
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "F":
        pixels = _bytes_of_floats(np.asarray(upright))
    elif upright.mode.startswith("I"):
        pixels = _sixteen_bits(np.asarray(upright), bits)
    elif bits > 8:
        # Pillow has kept the upper byte of each color. The lower one is not known: 255 here,
        # so that a picture of small numbers does not look black.
        return _color(upright).astype(np.uint16) * 256 + 255
    else:
        return _color(upright)
    if white_is_zero:
        pixels = np.iinfo(pixels.dtype).max - pixels
    return np.repeat(pixels[..., None], 3, axis=2)


def has_transparency(path: str) -> bool:
    """Whether a picture has transparent parts, or could have; raises as `read_picture`."""
    with open_picture(path) as image:
        return image.has_transparency_data


@contextlib.contextmanager
def open_picture(path: str) -> Iterator[Image.Image]:
    """Opens a picture of one of `FORMATS`; one of more than 90 million pixels is refused.

    Raises:
        Exception: one of `PICTURE_READ_ERRORS`.
    """
    require_file(path)
    # Pillow by itself only warns above that size, and refuses from twice that size on.
    with (
        warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
        Image.open(path, formats=FORMATS) as image,
    ):
        yield image


def _tag(image: Any, number: int) -> tuple | None:
    """A tag of a TIFF file; None of other pictures, and where it is left out."""
    value = image.tag_v2.get(number) if image.format == "TIFF" else None
    return value if value is None or isinstance(value, tuple) else (value,)


def _layouts(image: Any) -> str:
    """How the file lays out its pixels, in Pillow's words."""
    return " ".join(str(tile[3]) for tile in image.tile)


def bits_of(image: Image.Image) -> int:
    """Bits of a channel as the file has them: up to 8, 12, 16 or 32."""
    bits = _tag(image, _BITS_PER_SAMPLE)
    if bits:
        return max(bits)
    # BMP calls a pixel of 16 bits, all colors together, by the same word.
    is_deep = image.format == "PNG" and ";16" in _layouts(image)
    return 16 if is_deep or image.mode.startswith("I") else 8


def is_gray(image: Image.Image) -> bool:
    """Whether a picture's file has one color channel; a palette counts as color."""
    is_mode = image.mode in ("1", "L", "LA", "La", "F") or image.mode.startswith("I")
    return is_mode or "LA;" in _layouts(image)  # Of 16 bits: Pillow makes colors of it.


def require_white(image: Image.Image) -> None:
    """Refuses pictures whose numbers Pillow, or nobody, knows how to show.

    Raises:
        ValueError: for these.
    """
    bits = bits_of(image)
    if _SIGNED in (_tag(image, _SAMPLE_FORMAT) or ()) and bits <= 16:
        raise ValueError(f"it holds signed integers of {bits} bits, and does not say what is white")
    # Pillow compares the transparent gray or color, in the file's bits, with pixels of 8 bits.
    other_bits = bits > 8 or "L;2" in _layouts(image) or "L;4" in _layouts(image)
    if "transparency" in image.info and image.mode != "P" and other_bits:
        raise ValueError("one of its colors is transparent, and it has not 8 bits a channel")


def _color(image: Image.Image) -> np.ndarray:
    """A picture of 8 bits a channel as uint8 [H, W, 3]; transparent parts are black."""
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _bytes_of_floats(pixels: np.ndarray) -> np.ndarray:
    """Floats in [0, 1] as uint8."""
    low, high = pixels.min(), pixels.max()
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # Also if one of them is NaN.
        raise ValueError(f"its floats must lie in [0, 1], and are in [{low:.9g}, {high:.9g}]")
    return np.round(255 * pixels.clip(0, 1)).astype(np.uint8)


def _sixteen_bits(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Gray integers as uint16, of which 65,535 is white."""
    low, high = pixels.min(), pixels.max()
    if not (low >= 0 and high <= 65_535):
        raise ValueError(f"its integers must lie in [0, 65535], and are in [{low}, {high}]")
    white = 4_095 if bits == 12 else 65_535
    return (pixels.astype(np.uint32) * 65_535 // white).astype(np.uint16)
