"""Image and mask files of a user: read as arrays, with checks of size and type."""

import contextlib
import glob
import os
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from tf_mdsm.errors import InvalidArgument, errors_about
from tf_mdsm.system.npz import ARRAY_READ_ERRORS, read_npz_arrays

__all__ = [
    "IMAGE_READ_ERRORS",
    "READABLE_ENDINGS",
    "image_paths",
    "open_image",
    "read_images",
    "read_mask",
]

_PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
# Endings of the names of files that `read_images` reads.
READABLE_ENDINGS = (*_PICTURE_ENDINGS, ".npy", ".npz")

# Errors that Pillow raises for damaged images, files of another kind, and oversized images.
IMAGE_READ_ERRORS = (
    *ARRAY_READ_ERRORS,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


@contextlib.contextmanager
def open_image(path: str) -> Iterator[Image.Image]:
    """Opens an image file with Pillow; images of more than 90 million pixels are refused.

    Raises:
        Exception: one of `IMAGE_READ_ERRORS`, if the file cannot be read as an image.
    """
    # Pillow by itself only warns above that size, and refuses from twice that size on.
    with (
        warnings.catch_warnings(action="error", category=Image.DecompressionBombWarning),
        Image.open(path) as image,
    ):
        yield image


def read_images(
    paths: Sequence[str], image_shape: tuple[int, int, int], field: str = "FILE"
) -> np.ndarray:
    """Reads the images of some files, in the order of the files.

    Args:
        paths: `.png` or `.jpg` (converted to gray or color), `.npy`, or `.npz` with an array
            `images`. Arrays are uint8, or floats for which [0, 1] is black to white and values
            beyond are allowed; an array holds one image or several.
        image_shape: height, width and channels that the images must have.
        field: argument or flag that named the files, for error messages.

    Returns:
        Images, float32 [N, H, W, C]; uint8 values are scaled to [0, 1].

    Raises:
        InvalidArgument: for the first file that is missing, unreadable, or of another size.
    """
    return np.concatenate([_read_file(path, image_shape, field) for path in paths])


def image_paths(path: str, field: str = "FILE") -> list[str]:
    """Returns the path of a file, or the paths of all readable files of a folder by name.

    Args:
        path: a file or a folder; "~" is the user's home folder.
        field: argument or flag that named the path, for error messages.

    Raises:
        InvalidArgument: for a folder without readable files.
    """
    path = os.path.expanduser(path)
    if not os.path.isdir(path):
        return [path]
    names = sorted(glob.glob(os.path.join(glob.escape(path), "*")))
    paths = [name for name in names if name.lower().endswith(READABLE_ENDINGS)]
    if not paths:
        requirement = f"hold files that end in {', '.join(READABLE_ENDINGS)}"
        raise InvalidArgument(field, requirement, path)
    return paths


def read_mask(
    path: str, image_shape: tuple[int, int, int], count: int, field: str = "--mask"
) -> np.ndarray:
    """Reads a mask of known pixels: one for all images, or one for each image.

    Args:
        path: `.png` or `.jpg` (white: known, black: unknown), `.npy`, or `.npz` with an array
            `mask`.
        image_shape: height, width and channels of the images.
        count: number of images.
        field: argument or flag that named the file, for error messages.

    Returns:
        Masks, float32 [count, H, W, 1]; whether values are 0 or 1 is not checked here.

    Raises:
        InvalidArgument: as `read_images`, or for another number of masks than 1 and `count`.
    """
    shape = (*image_shape[:2], 1)
    mask = _to_batch(_read_array(path, 1, "mask", field), shape, path, field)
    if mask.dtype.kind not in "bifu":
        raise InvalidArgument(field, f"hold 1 (known) or 0, not {mask.dtype}", path)
    mask = mask / 255.0 if path.lower().endswith(_PICTURE_ENDINGS) else mask
    if len(mask) not in (1, count):
        raise InvalidArgument(field, f"hold one mask, or one an image ({count})", len(mask))
    return np.broadcast_to(mask, (count, *mask.shape[1:])).astype(np.float32)


def _read_file(path: str, image_shape: tuple[int, int, int], field: str) -> np.ndarray:
    """Returns the images of one file, float32 [N, H, W, C]."""
    array = _read_array(path, image_shape[-1], "images", field)
    array = _to_batch(array, image_shape, path, field)
    if array.dtype == np.uint8:
        return array.astype(np.float32) / 255
    if array.dtype.kind != "f":
        raise InvalidArgument(field, f"hold uint8 or floats, not {array.dtype}", path)
    return array.astype(np.float32)


def _read_array(path: str, channels: int, key: str, field: str) -> np.ndarray:
    """Returns the content of a file as it is stored; of an .npz, the array `key`."""
    ending = os.path.splitext(path)[1].lower()
    try:
        if ending in _PICTURE_ENDINGS:
            return _read_picture(path, channels, field)
        if ending == ".npy":
            with open(path, "rb") as file:  # NumPy would leave a damaged file open.
                return np.asarray(np.load(file, allow_pickle=False))
        if ending == ".npz":
            with errors_about(field):
                return read_npz_arrays(path, [key])[key]
    except IMAGE_READ_ERRORS as error:
        if isinstance(error, InvalidArgument):
            raise
        raise InvalidArgument(field, "be readable", f"{path} ({error})") from error
    raise InvalidArgument(field, f"end in {', '.join(READABLE_ENDINGS)}", path)


def _read_picture(path: str, channels: int, field: str) -> np.ndarray:
    """Returns a .png or .jpg as uint8 [H, W, C]; transparency and 16 bits a channel are refused."""
    with open_image(path) as image:
        if image.mode not in ("1", "L", "P", "RGB") or image.has_transparency_data:
            requirement = "be opaque, with 8 bits a channel"
            raise InvalidArgument(field, requirement, f"{path} ({image.mode})")
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], -1)


def _to_batch(
    array: np.ndarray, image_shape: tuple[int, int, int], path: str, field: str
) -> np.ndarray:
    """Returns [N, H, W, C] from one image or several, with or without the axis of one channel."""
    shapes = [image_shape, image_shape[:2]] if image_shape[-1] == 1 else [image_shape]
    for shape in shapes:
        if array.shape == shape or (array.shape[1:] == shape and len(array)):
            return array.reshape(-1, *image_shape)
    size = " x ".join(map(str, image_shape))
    raise InvalidArgument(field, f"hold images of {size}", f"{path}, {list(array.shape)}")
