"""One function a source; each returns raw images or raises an error that names the file."""

import glob
import gzip
import logging
import math
import os
import struct
import sys
import zlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.image_files import IMAGE_READ_ERRORS, open_image
from tf_mdsm.system.npz import read_npz_arrays, require_memory

__all__ = [
    "read_digits",
    "read_folder",
    "read_idx",
    "read_npz",
    "read_tfds",
]

_LOGGER = logging.getLogger(__name__)

_IDX_PREFIXES = {"train": "train", "test": "t10k"}
# What a file of unsigned bytes holds: the number of its dimensions.
_IDX_DIMENSIONS = {"images": 3, "labels": 1}
_IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def read_digits() -> np.ndarray:
    """scikit-learn's 1,797 handwritten digits, float32 [1797, 8, 8, 1] (UCI, 17 grey levels)."""
    from sklearn.datasets import load_digits

    return (load_digits().images / 16.0).astype(np.float32)[..., None]


def read_idx(path: str, split: str, content: str = "images") -> np.ndarray:
    """The images of an MNIST-style folder, uint8 [N, H, W, 1], or their labels, uint8 [N].

    Args:
        path: folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, each plain
            or with `.gz`, and for labels `train-labels-idx1-ubyte` and so on.
        split: "train" or "test".
        content: "images" or "labels".

    Raises:
        InvalidArgument: for a missing, foreign or truncated file, or another split.
    """
    if split not in _IDX_PREFIXES:
        raise InvalidArgument("split", f"be one of {', '.join(_IDX_PREFIXES)}", split)
    dimensions = _IDX_DIMENSIONS[content]
    stem = os.path.join(path, f"{_IDX_PREFIXES[split]}-{content}-idx{dimensions}-ubyte")
    file_name = next((name for name in (stem, f"{stem}.gz") if os.path.isfile(name)), None)
    if file_name is None:
        raise InvalidArgument("path", f"be a folder that holds {os.path.basename(stem)}", path)
    opener = gzip.open if file_name.endswith(".gz") else open
    try:
        with opener(file_name, "rb") as file:
            magic, *shape = struct.unpack(f">{1 + dimensions}I", file.read(4 + 4 * dimensions))
            size = math.prod(shape)
            if magic != 0x800 + dimensions:
                raise InvalidArgument("path", f"hold IDX {content} of unsigned bytes", file_name)
            require_memory(size, file_name)
            values = file.read(size + 1)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise InvalidArgument("path", f"hold a readable IDX file ({error})", file_name) from error
    if len(values) != size:
        raise InvalidArgument(
            "path", f"hold {size} bytes of {content}", f"{file_name}, another length"
        )
    try:
        array = np.frombuffer(values, np.uint8).reshape(shape)
    except ValueError as error:  # No images, of a size that no array has.
        raise InvalidArgument("path", f"hold a readable IDX file ({error})", file_name) from error
    return array[..., None] if content == "images" else array


def read_npz(path: str) -> np.ndarray:
    """The array `images` of an `.npz` file: uint8 or float32 in [0, 1], [N, H, W, C].

    Raises:
        InvalidArgument: for a missing file, key, or an array that holds no images.
    """
    images = read_npz_arrays(path, ["images"])["images"]
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 2, 3) or 0 in images.shape[1:]:
        raise InvalidArgument(
            "path", "hold `images` of shape [N, H, W] or [N, H, W, C], C = 1, 2, 3", images.shape
        )
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise InvalidArgument("path", "hold `images` of uint8 or float", images.dtype)
    return images.astype(np.float32)


def read_folder(path: str, skip_damaged: bool = False) -> Iterator[np.ndarray]:
    """Every image file below a folder, in order of name: uint8 [H, W, 3] each.

    Args:
        path: the folder.
        skip_damaged: name a file that holds no image, and go on.

    Raises:
        InvalidArgument: for a folder without images, or (naming it) a file that is none.
    """
    names = sorted(
        name
        for name in glob.glob(os.path.join(glob.escape(path), "**", "*"), recursive=True)
        if name.lower().endswith(_IMAGE_FILES)
    )
    if not names:
        raise InvalidArgument("path", f"be a folder of image files ({_IMAGE_FILES})", path)
    for name in names:
        try:
            with open_image(name) as image:
                pixels = _rgb(image)
        except IMAGE_READ_ERRORS as error:
            if not skip_damaged:
                raise InvalidArgument("path", f"hold images only ({error})", name) from error
            _LOGGER.warning("%s is left out (%s)", name, one_line(error))
            continue
        yield pixels


def _rgb(image) -> np.ndarray:
    """An image as it is meant to be seen: upright, opaque on black, 256 levels."""
    from PIL import Image, ImageOps

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip.
        image = Image.fromarray((np.asarray(image) // 257).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, "black")
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def read_tfds(name: str, split: str, data_dir: str, feature: str = "image") -> tf.data.Dataset:
    """A feature of a TensorFlow data set, in the same order each time; `image`: uint8 [H, W, C].

    Prepared data are used where they are found; else TFDS downloads and prepares them.

    Args:
        name: as `tfds.builder` takes it: "cifar10", "celeb_a", "fashion_mnist:3.0.1", ….
        split: one of its splits.
        data_dir: where prepared data are; empty: TFDS' own default.
        feature: its name.

    Raises:
        InvalidArgument: for an unknown data set or split, one without the feature, or one that
            is not prepared and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.DatasetNotFoundError, ImportError, ValueError, AssertionError) as error:
        raise InvalidArgument("name", "be a data set that TFDS knows", name) from error
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS lets through what any of its downloaders raises.
        # Of several workers that prepare one folder at once only the first can put it in place.
        builder = tfds.builder(name, data_dir=data_dir or None)
        if not builder.is_prepared():
            advice = f"name a data_dir with {name} prepared, as it cannot be downloaded here"
            raise InvalidArgument("data_dir", advice, f"{data_dir!r} ({error})") from error
    if feature not in builder.info.features:
        raise InvalidArgument("name", f"be a data set with a feature `{feature}`", name)
    try:
        examples = builder.as_dataset(split=split, shuffle_files=False)
    except (ValueError, KeyError) as error:
        known = ", ".join(builder.info.splits)
        raise InvalidArgument("split", f"be one of {known}", split) from error
    return examples.map(lambda example: example[feature])
