"""Image and mask files of a user: found in folders and read as arrays, by one set of rules."""

import collections
import logging
import os
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from PIL import Image

from tf_mdsm.errors import InvalidArgument, errors_about
from tf_mdsm.system.npz import read_array
from tf_mdsm.system.pictures import (
    PICTURE_ENDINGS,
    PICTURE_READ_ERRORS,
    has_transparency,
    read_picture,
)
from tf_mdsm.system.pixel_values import (
    PixelCheck,
    require_noisy_pixels,
    to_bytes,
)
from tf_mdsm.system.shapes import fits

__all__ = ["READABLE_ENDINGS", "files_in_folder", "image_paths", "read_images", "read_mask"]

_LOGGER = logging.getLogger(__name__)

# Endings of the names of files that `read_images` reads.
READABLE_ENDINGS = (*PICTURE_ENDINGS, ".npy", ".npz")

# Pixels of a picture of a mask: up to the first number black, from the second on white. JPEG files
# have other values than those that were drawn.
_BLACK, _WHITE = 111, 144


def files_in_folder(
    folder: str, endings: tuple[str, ...], field: str, *, tell: bool = True
) -> list[str]:
    """Finds the files of a folder and its subfolders whose names have one of some endings.

    Files and folders whose names begin with a dot are hidden, and left out. Links are followed, and
    each real file counts once.

    Args:
        folder: the folder.
        endings: endings in small letters; names may have capital ones.
        field: argument or flag that named the folder, for error messages.
        tell: whether a log message says how many other files are left out.

    Returns:
        paths in the order of their names.

    Raises:
        InvalidArgument: if it is not a folder, or holds no such file.
    """
    if not os.path.isdir(folder):
        raise InvalidArgument(field, "be a folder", folder)
    paths, left_out = {}, collections.Counter()
    for path in sorted(_visible_files(folder)):
        ending = os.path.splitext(path)[1].lower()
        if ending in endings:
            paths.setdefault(os.path.realpath(path), path)
        else:
            left_out[ending or "no ending"] += 1
    if not paths:
        raise InvalidArgument(field, f"hold files that end in {', '.join(endings)}", folder)
    if left_out and tell:
        kinds = ", ".join(f"{ending}: {count}" for ending, count in left_out.most_common(10))
        total = left_out.total()
        _LOGGER.warning("%s: files left out by their endings: %d (%s)", folder, total, kinds)
    return list(paths.values())


def _visible_files(folder: str) -> Iterator[str]:
    """Paths of all files at any depth that are not hidden; each real folder is entered once."""
    entered = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        yield from (os.path.join(parent, name) for name in names if not name.startswith("."))


def image_paths(path: str, field: str = "FILE") -> list[str]:
    """Returns the path of a file, or the paths of all readable files of a folder by name.

    Args:
        path: a file or a folder; "~" is the user's home folder.
        field: argument or flag that named the path, for error messages.

    Raises:
        InvalidArgument: for a folder without readable files.
    """
    path = os.path.expanduser(path)
    return files_in_folder(path, READABLE_ENDINGS, field) if os.path.isdir(path) else [path]


def read_images(
    paths: Sequence[str],
    image_shape: tuple[int | None, int | None, int],
    field: str = "FILE",
    floats: Literal["clean", "noisy", "any"] = "clean",
) -> np.ndarray:
    """Reads the images of some files, in the order of the files.

    Args:
        paths: files and folders of files: pictures (converted to gray or color), `.npy`, or `.npz`
            with an array `images`. Arrays are uint8 or floats; an array holds one image or several.
        image_shape: height, width and channels that the images must have. None for height and
            width: any, the same for all files.
        field: argument or flag that named the files, for error messages.
        floats: what floats are right: in [0, 1], with or without noise, or any.

    Returns:
        Images, float32 [N, H, W, C]; uint8 values are scaled to [0, 1].

    Raises:
        InvalidArgument: for the first file that is missing, unreadable, or of another size, and
            for numbers that are no pixels (see `PixelCheck`).
    """
    check = PixelCheck(field)
    files = [file for path in paths for file in image_paths(path, field)]
    images = [_read_file(path, image_shape, check, field, floats) for path in files]
    check.finish()
    for path, batch in zip(files, images, strict=True):
        if batch.shape[1:] != images[0].shape[1:]:
            first, other = ("{} x {}".format(*one.shape[1:3]) for one in (images[0], batch))
            raise InvalidArgument(field, f"hold images of one size ({first})", f"{path}, {other}")
    return np.concatenate(images)


def read_mask(
    path: str, image_shape: tuple[int | None, int | None, int], count: int, field: str = "--mask"
) -> np.ndarray:
    """Reads a mask of known pixels: one for all images, or one for each image.

    Args:
        path: a picture (white: known, black: unknown), `.npy`, or `.npz` with an array `mask` of
            ones (known) and zeros.
        image_shape: height, width and channels of the images. None for height and width: any.
        count: number of images.
        field: argument or flag that named the file, for error messages.

    Returns:
        Masks of 0 and 1, float32 [count, H, W, 1].

    Raises:
        InvalidArgument: as `read_images`, for other values, for a transparent picture, and for
            another number of masks than 1 and `count`.
    """
    path, shape = os.path.expanduser(path), (*image_shape[:2], 1)
    is_picture = _is_picture(path)
    mask = _black_and_white(path, field) if is_picture else _read_array(path, "mask", field)
    mask = _to_batch(mask, shape, path, field)
    if mask.dtype.kind not in "bifu":
        raise InvalidArgument(field, f"hold 1 (known) or 0, not {mask.dtype}", path)
    if not np.isin(mask, (0, 1)).all():
        wrong = mask[~np.isin(mask, (0, 1))][0]
        raise InvalidArgument(field, "hold 1 (known) or 0 everywhere", f"{path}, {wrong}")
    if len(mask) not in (1, count):
        raise InvalidArgument(field, f"hold one mask, or one an image ({count})", len(mask))
    return np.broadcast_to(mask, (count, *mask.shape[1:])).astype(np.float32)


def _read_file(
    path: str,
    image_shape: tuple[int | None, int | None, int],
    check: PixelCheck,
    field: str,
    floats: str,
) -> np.ndarray:
    """Returns the images of one file, float32 [N, H, W, C]."""
    if _is_picture(path):
        pixels = _read_picture(path, field)
        check.add(pixels, path)
        array = _with_channels(to_bytes(pixels), image_shape[-1])
        return _to_batch(array, image_shape, path, field).astype(np.float32) / 255
    array = _to_batch(_read_array(path, "images", field), image_shape, path, field)
    check.require_dtype(array.dtype, path)
    if array.dtype == np.uint8:
        check.add(array, path)
        return array.astype(np.float32) / 255
    if floats == "clean":
        check.add(array, path)
        return array.astype(np.float32).clip(0, 1)
    if floats == "noisy":
        require_noisy_pixels(array, field, path)
    with np.errstate(over="ignore"):  # Beyond float32; not finite then, which callers refuse.
        return array.astype(np.float32)


def _is_picture(path: str) -> bool:
    """Whether a file is a picture, by the ending of its name."""
    return path.lower().endswith(PICTURE_ENDINGS)


def _read_picture(path: str, field: str) -> np.ndarray:
    """Returns a picture as `read_picture` does."""
    try:
        return read_picture(path)
    except PICTURE_READ_ERRORS as error:
        raise InvalidArgument(field, "be readable", f"{path} ({error})") from error


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels uint8 [H, W, 3], in gray [H, W, 1] where one channel is wanted."""
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None] if channels == 1 else pixels


def _black_and_white(path: str, field: str) -> np.ndarray:
    """Returns a picture of black and white as zeros and ones, [H, W, 1]."""
    check = PixelCheck(field)
    pixels = _read_picture(path, field)
    check.add(pixels, path)
    check.finish()
    if has_transparency(path):
        raise InvalidArgument(field, "be opaque", f"{path}, a transparent picture")
    gray = _with_channels(to_bytes(pixels), 1)
    between = gray[(gray > _BLACK) & (gray < _WHITE)]
    if between.size:
        requirement = "be white (known) or black everywhere"
        raise InvalidArgument(field, requirement, f"{path}, gray {between[0]} of 255")
    return gray >= _WHITE


def _read_array(path: str, name: str, field: str) -> np.ndarray:
    """Returns the array of an .npy, or the array `name` of an .npz."""
    if not path.lower().endswith(READABLE_ENDINGS):
        raise InvalidArgument(field, f"end in {', '.join(READABLE_ENDINGS)}", path)
    with errors_about(field):
        return read_array(path, name)


def _to_batch(
    array: np.ndarray, image_shape: tuple[int | None, int | None, int], path: str, field: str
) -> np.ndarray:
    """Returns [N, H, W, C] from one image or several, with or without the axis of one channel."""
    shapes = [image_shape, image_shape[:2]] if image_shape[-1] == 1 else [image_shape]
    for shape in shapes:
        is_one = fits(array.shape, shape)
        if is_one or (fits(array.shape[1:], shape) and len(array)):
            height, width = array.shape[0 if is_one else 1 :][:2]
            return array.reshape(-1, height, width, image_shape[-1])
    size = " x ".join("any" if side is None else str(side) for side in image_shape)
    raise InvalidArgument(field, f"hold images of {size}", f"{path}, {list(array.shape)}")
