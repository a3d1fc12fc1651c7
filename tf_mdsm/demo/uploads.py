"""A visitor's file as an image of the model's size."""

import os
import tempfile

import numpy as np

from tf_mdsm.datasets.resizing import resize
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.image_files import READABLE_ENDINGS, read_images
from tf_mdsm.system.pictures import PICTURE_ENDINGS, PICTURE_READ_ERRORS, read_picture
from tf_mdsm.system.pixel_values import PixelCheck, to_bytes

__all__ = ["MAX_BYTES", "read_upload"]

# Largest upload.
MAX_BYTES = 20_000_000


def read_upload(
    name: str, content: bytes, image_shape: tuple[int, int, int]
) -> tuple[np.ndarray, str]:
    """Reads an upload: a picture, or an array of which the first image is taken.

    A picture of another size is cropped to its middle square and scaled down, or padded with black,
    as training images are. An array must have the right size; noise may carry it out of [0, 1].

    Args:
        name: the file's name.
        content: its bytes.
        image_shape: height, width and channels of the result.

    Returns:
        the image, float32 [H, W, C], and a sentence that says what was done to it, or "".

    Raises:
        InvalidArgument: about `upload`, for what is no image; the file goes by its own name.
    """
    ending = os.path.splitext(name)[1].lower()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "upload" + (ending if ending in READABLE_ENDINGS else ""))
        try:
            with open(path, "wb") as file:
                file.write(content)
            if ending in PICTURE_ENDINGS:
                return _read_picture(path, image_shape)
            return read_images([path], image_shape, "upload", floats="noisy")[0], ""
        except InvalidArgument as error:
            received = str(error.received).replace(path, name)
            raise InvalidArgument("upload", error.requirement, received) from error


def _read_picture(path: str, image_shape: tuple[int, int, int]) -> tuple[np.ndarray, str]:
    """Reads a picture of any size; as `read_upload`."""
    height, width, channels = image_shape
    try:
        pixels = read_picture(path)
    except PICTURE_READ_ERRORS as error:
        raise InvalidArgument("upload", "be readable", f"{path} ({error})") from error
    if pixels.shape[:2] == (height, width) or height != width:
        return read_images([path], image_shape, "upload", floats="noisy")[0], ""
    check = PixelCheck("upload")
    check.add(pixels, path)
    check.finish()
    resized = resize(to_bytes(pixels), height, channels).numpy().astype(np.float32) / 255
    return resized, _what_was_done(pixels.shape[0], pixels.shape[1], height)


def _what_was_done(height: int, width: int, size: int) -> str:
    """What `resize` does to a picture of this size, as a sentence."""
    picture = f"The picture has {width} x {height} pixels"
    if max(height, width) <= size:
        return f"{picture}: black was put around it to make it {size} x {size}."
    return f"{picture}: its middle was scaled to {size} x {size}."
