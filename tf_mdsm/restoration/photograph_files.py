"""Photograph files: read with all that a restored one keeps, written as PNG.

Kept are 16 bits a channel, gray or color, transparency, and the color profile.
"""

import dataclasses
import json
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.pictures import (
    PICTURE_READ_ERRORS,
    bits_of,
    is_gray,
    open_picture,
    pixels_of,
    require_white,
)
from tf_mdsm.system.pixel_values import PixelCheck

__all__ = ["Photograph", "read_facts", "read_photograph", "write_photograph"]

# Color spaces of profiles, by the number of channels of the picture.
_PROFILE_SPACES = {1: b"GRAY", 3: b"RGB "}

# The Exif tag that says how a camera was held, and how pixels are turned upright by its value.
_ORIENTATION = 0x0112
_TURNS = {
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}

# A PNG file's first chunk ends here: signature and header. Further chunks may follow.
_HEADER_BYTES = 33
# Under this name a file holds what it is, JSON text.
_FACTS = "tf_mdsm"


@dataclasses.dataclass(frozen=True)
class Photograph:
    """A photograph, upright.

    Attributes:
        pixels: float32 in [0, 1], [H, W, 1] of gray pictures, else [H, W, 3].
        bits: bits of a channel, 8 or 16.
        alpha: opacity, float32 in [0, 1], [H, W]; None of opaque photographs.
        profile: the color profile (ICC) of the pixels; None: none.
        notes: sentences about what of the file is not kept.
    """

    pixels: np.ndarray
    bits: int = 8
    alpha: np.ndarray | None = None
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def read_photograph(path: str) -> Photograph:
    """Reads a photograph from a picture file of any format of `system.pictures`.

    Transparent parts keep their colors. PNG files are read with 16 bits a channel; of other files
    gray ones only.

    Raises:
        InvalidArgument: about `file`, if the file cannot be read as a picture, or stays far from
            white (`PixelCheck`). Floats do not: of them 1 is white.
    """
    try:
        # Pillow warns of damaged tags, and reads on.
        with (
            warnings.catch_warnings(record=True, action="always", category=UserWarning) as warned,
            open_picture(path) as image,
        ):
            photograph = _read(image, path)
    except InvalidArgument:
        raise
    except (*PICTURE_READ_ERRORS, tf.errors.OpError) as error:
        received = f"{path} ({error})"
        raise InvalidArgument("file", "be readable as a picture", received) from error
    notes = dict.fromkeys(" ".join(str(warning.message).split()) for warning in warned)
    return dataclasses.replace(photograph, notes=(*photograph.notes, *notes))


def write_photograph(photograph: Photograph, path: str, facts: dict[str, Any]) -> None:
    """Writes a photograph as PNG, atomically.

    Args:
        photograph: its pixels are clipped to [0, 1] and rounded. The notes are not written.
        path: the file; missing folders above it are created.
        facts: what `read_facts` returns, values of JSON.
    """
    channels = [photograph.pixels]
    if photograph.alpha is not None:
        channels.append(photograph.alpha[..., None])
    white, dtype = (255, np.uint8) if photograph.bits == 8 else (65_535, np.uint16)
    samples = [np.round(white * np.clip(part, 0, 1)).astype(dtype) for part in channels]
    content = tf.io.encode_png(np.concatenate(samples, axis=-1)).numpy()
    chunks = _chunk(b"tEXt", f"{_FACTS}\0{json.dumps(facts)}".encode("latin-1"))
    if photograph.profile is not None:
        profile = b"ICC profile\0\0" + zlib.compress(photograph.profile)
        chunks = _chunk(b"iCCP", profile) + chunks
    with atomic_write(path) as partial, open(partial, "wb") as file:
        file.write(content[:_HEADER_BYTES] + chunks + content[_HEADER_BYTES:])


def read_facts(path: str) -> dict[str, Any] | None:
    """What `write_photograph` was given as facts; None if the file says nothing, or is damaged.

    No pixels are read. So a result may have any number of them, as enlarged photographs do.
    """
    try:
        with PngImageFile(path) as image:
            facts = json.loads(image.info[_FACTS])
    except (*PICTURE_READ_ERRORS, KeyError):
        return None
    return facts if isinstance(facts, dict) else None


def _chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def _read(image: Image.Image, path: str) -> Photograph:
    """The photograph in an open picture; raises one of `PICTURE_READ_ERRORS`."""
    mode, bits, gray = image.mode, bits_of(image), is_gray(image)
    if bits == 16 and image.format == "PNG" and not mode.startswith("I"):
        samples, alpha = _deep_png(image, path)
    else:
        samples, alpha = _samples(image)
    if gray:
        samples = samples[..., :1]
    bits = 8 * samples.itemsize
    opacity = None if alpha is None or alpha.min() == np.iinfo(alpha.dtype).max else _floats(alpha)
    profile, notes = image.info.get("icc_profile"), []
    if profile is not None and profile[16:20] != _PROFILE_SPACES[samples.shape[-1]]:
        profile = None
        notes.append(f"its color profile is of other pixels than {'gray' if gray else 'RGB'}")
    if bits_of(image) > bits:
        notes.append(f"the upper 8 of {bits_of(image)} bits a channel are read")
    if mode == "CMYK":
        notes.append("converted from CMYK to RGB")
    num_pictures = getattr(image, "n_frames", 1)
    if num_pictures > 1:
        notes.append(f"the first of {num_pictures} pictures in the file")
    return Photograph(_floats(samples), bits, opacity, profile, tuple(notes))


def _samples(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Colors [H, W, 3] and opacity [H, W] by Pillow, uint8, or uint16 of gray pictures."""
    if image.has_transparency_data:
        require_white(image)
        pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
        _require_white_somewhere(pixels[..., :3])
        return pixels[..., :3], pixels[..., 3]
    pixels = pixels_of(image)
    if image.mode != "F":
        _require_white_somewhere(pixels)
    if pixels.dtype == np.uint16 and not image.mode.startswith("I"):
        pixels = (pixels >> 8).astype(np.uint8)
    return pixels, None


def _deep_png(image: Image.Image, path: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Colors [H, W, 3] and opacity [H, W], uint16, of which Pillow would read the upper bytes."""
    require_white(image)
    image.load()
    has_alpha = image.has_transparency_data
    with open(path, "rb") as file:
        content = file.read()
    pixels = tf.io.decode_png(content, channels=4 if has_alpha else 3, dtype=tf.uint16).numpy()
    turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    pixels = pixels if turn is None else turn(pixels)
    _require_white_somewhere(pixels[..., :3])
    return pixels[..., :3], pixels[..., 3] if has_alpha else None


def _require_white_somewhere(samples: np.ndarray) -> None:
    """Refuses integers that stay far from white."""
    check = PixelCheck("file")
    check.add(samples)
    check.finish()


def _floats(samples: np.ndarray) -> np.ndarray:
    """Integers as float32, of which 1 is the largest of their type."""
    return samples.astype(np.float32) / np.iinfo(samples.dtype).max
