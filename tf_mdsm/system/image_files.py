"""Image and mask files of a user: read as arrays, checked for size and kind."""

import contextlib
import glob
import os
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from tf_mdsm.errors import InvalidArgument, errors_about
from tf_mdsm.system.npz import UNREADABLE, read_npz_arrays

__all__ = [
    "NO_PICTURE",
    "image_paths",
    "open_picture",
    "read_images",
    "read_mask",
]

_PICTURES = (".png", ".jpg", ".jpeg")
# What the names of files of images end in.
READABLE = (*_PICTURES, ".npy", ".npz")

# What Pillow raises for damaged, foreign and oversized pictures.
NO_PICTURE = (*UNREADABLE, Image.DecompressionBombError, Image.DecompressionBombWarning)


@contextlib.contextmanager
def open_picture(path: str) -> Iterator[Image.Image]:
    """A picture in a file; raises one of `NO_PICTURE`, also for more than 90 million pixels."""
    # Pillow itself only warns of so many, and refuses twice as many.
    with (
        warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
        Image.open(path) as picture,
    ):
        yield picture


def read_images(
    paths: list[str], image_shape: tuple[int, int, int], field: str = "FILE"
) -> np.ndarray:
    """The images of some files, one after the other, float32 [N, H, W, C].

    Args:
        paths: `.png` or `.jpg` (converted to grey or colour), `.npy`, or `.npz` with an array
            `images`; arrays are uint8, or floats in [0, 1] or beyond, one image or many.
        image_shape: height, width and channels that they must have.
        field: what the user knows the files as.

    Raises:
        InvalidArgument: naming the first file that is missing, unreadable, or of another size.
    """
    return np.concatenate([_images(path, image_shape, field) for path in paths])


def image_paths(path: str, field: str = "FILE") -> list[str]:
    """A file, or the files of a folder that can be read, in order of name.

    Raises:
        InvalidArgument: for a folder without any.
    """
    path = os.path.expanduser(path)
    if not os.path.isdir(path):
        return [path]
    names = sorted(glob.glob(os.path.join(glob.escape(path), "*")))
    found = [name for name in names if name.lower().endswith(READABLE)]
    if not found:
        raise InvalidArgument(field, f"hold files that end in {', '.join(READABLE)}", path)
    return found


def read_mask(
    path: str, image_shape: tuple[int, int, int], count: int, field: str = "--mask"
) -> np.ndarray:
    """A mask, one for all images or one for each: float32 [count, H, W, 1].

    Args:
        path: `.png` (white: known, black: unknown), `.npy`, or `.npz` with an array `mask`.
        image_shape: the images' height, width and channels.
        count: how many images there are.
        field: what the user knows the file as.

    Raises:
        InvalidArgument: as `read_images`; values are not checked here.
    """
    mask = _shaped(_array(path, 1, "mask", field), (*image_shape[:2], 1), path, field)
    if mask.dtype.kind not in "bifu":
        raise InvalidArgument(field, f"hold 1 (known) or 0, not {mask.dtype}", path)
    mask = mask / 255.0 if path.lower().endswith(_PICTURES) else mask
    if len(mask) not in (1, count):
        raise InvalidArgument(field, f"hold one mask, or one an image ({count})", len(mask))
    return np.broadcast_to(mask, (count, *mask.shape[1:])).astype(np.float32)


def _images(path: str, image_shape: tuple[int, int, int], field: str) -> np.ndarray:
    array = _shaped(_array(path, image_shape[-1], "images", field), image_shape, path, field)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    if array.dtype.kind != "f":
        raise InvalidArgument(field, f"hold uint8 or floats, not {array.dtype}", path)
    return array.astype(np.float32)


def _array(path: str, channels: int, key: str, field: str) -> np.ndarray:
    """What a file holds; in an .npz, under `key`."""
    ending = os.path.splitext(path)[1].lower()
    try:
        if ending in _PICTURES:
            return _pixels(path, channels, field)
        if ending == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        if ending == ".npz":
            with errors_about(field):
                return read_npz_arrays(path, [key])[key]
    except NO_PICTURE as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(field, "be readable", f"{path} ({error})") from error
    raise InvalidArgument(field, f"end in {', '.join(READABLE)}", path)


def _pixels(path: str, channels: int, field: str) -> np.ndarray:
    """uint8 [H, W, C]; what has to be guessed at is refused: transparency, 16 bits a pixel."""
    with open_picture(path) as picture:
        if picture.mode not in ("1", "L", "P", "RGB") or picture.has_transparency_data:
            raise InvalidArgument(
                field, "be opaque, with 8 bits a channel", f"{path} ({picture.mode})"
            )
        pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], -1)


def _shaped(
    array: np.ndarray, image_shape: tuple[int, int, int], path: str, field: str
) -> np.ndarray:
    """[N, H, W, C] from that, one image, or images without the axis of a single channel."""
    shapes = [image_shape, image_shape[:2]] if image_shape[-1] == 1 else [image_shape]
    for shape in shapes:
        if array.shape == shape or (array.shape[1:] == shape and len(array)):
            return array.reshape(-1, *image_shape)
    size = " x ".join(map(str, image_shape))
    raise InvalidArgument(field, f"hold images of {size}", f"{path}, {list(array.shape)}")
