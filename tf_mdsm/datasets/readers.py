"""One function a source; each returns raw images or raises an error that names the file."""

import glob
import gzip
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument

__all__ = ["read_digits", "read_folder", "read_idx", "read_npz", "read_tfds"]

_IDX_PREFIXES = {"train": "train", "test": "t10k"}
_IDX_IMAGES = 0x00000803
_IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


def read_digits() -> np.ndarray:
    """scikit-learn's 1,797 handwritten digits, float32 [1797, 8, 8, 1] (UCI, 17 grey levels)."""
    from sklearn.datasets import load_digits

    return (load_digits().images / 16.0).astype(np.float32)[..., None]


def read_idx(path: str, split: str) -> np.ndarray:
    """The images of an MNIST-style folder: uint8 [N, H, W, 1].

    Args:
        path: folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, each plain
            or with `.gz`.
        split: "train" or "test".

    Raises:
        InvalidArgument: for a missing, foreign or truncated file, or another split.
    """
    if split not in _IDX_PREFIXES:
        raise InvalidArgument("split", f"be one of {', '.join(_IDX_PREFIXES)}", split)
    stem = os.path.join(path, f"{_IDX_PREFIXES[split]}-images-idx3-ubyte")
    file_name = next((name for name in (stem, f"{stem}.gz") if os.path.isfile(name)), None)
    if file_name is None:
        raise InvalidArgument("path", f"be a folder that holds {os.path.basename(stem)}", path)
    opener = gzip.open if file_name.endswith(".gz") else open
    try:
        with opener(file_name, "rb") as file:
            header = file.read(16)
            magic, count, height, width = struct.unpack(">4I", header)
            size = count * height * width
            if magic != _IDX_IMAGES or size > 2**36:
                raise InvalidArgument("path", "hold IDX images of unsigned bytes", file_name)
            content = file.read(size + 1)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise InvalidArgument("path", f"hold a readable IDX file ({error})", file_name) from error
    if len(content) != size:
        raise InvalidArgument("path", f"hold {size} pixels in all", f"{file_name}, another length")
    return np.frombuffer(content, np.uint8).reshape(count, height, width, 1)


def read_npz(path: str) -> np.ndarray:
    """The array `images` of an `.npz` file: uint8 or float32 in [0, 1], [N, H, W, C].

    Raises:
        InvalidArgument: for a missing file, key, or an array that holds no images.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            images = archive["images"]
    except KeyError as error:
        raise InvalidArgument("path", "hold an array named `images`", path) from error
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidArgument("path", f"be a readable .npz file ({error})", path) from error
    if not isinstance(images, np.ndarray):
        raise InvalidArgument("path", "hold an array named `images`", path)
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


def read_folder(path: str) -> Iterator[np.ndarray]:
    """Every image file below a folder, in order of name: uint8 [H, W, 3] each.

    Raises:
        InvalidArgument: for a folder without images, or (naming it) a file that is none.
    """
    from PIL import Image

    names = sorted(
        name
        for name in glob.glob(os.path.join(glob.escape(path), "**", "*"), recursive=True)
        if name.lower().endswith(_IMAGE_FILES)
    )
    if not names:
        raise InvalidArgument("path", f"be a folder of image files ({_IMAGE_FILES})", path)
    for name in names:
        try:
            with Image.open(name) as image:
                yield _rgb(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InvalidArgument("path", f"hold images only ({error})", name) from error


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


def read_tfds(name: str, split: str, data_dir: str) -> tf.data.Dataset:
    """The `image` feature of a TensorFlow data set, uint8 [H, W, C] each.

    Prepared data are used where they are found; else TFDS downloads and prepares them.

    Args:
        name: as `tfds.builder` takes it: "cifar10", "celeb_a", "fashion_mnist:3.0.1", ….
        split: one of its splits.
        data_dir: where prepared data are; empty: TFDS' own default.

    Raises:
        InvalidArgument: for an unknown data set or split, one without images, or one that
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
    if "image" not in builder.info.features:
        raise InvalidArgument("name", "be a data set with a feature `image`", name)
    try:
        examples = builder.as_dataset(split=split, shuffle_files=False)
    except (ValueError, KeyError) as error:
        known = ", ".join(builder.info.splits)
        raise InvalidArgument("split", f"be one of {known}", split) from error
    return examples.map(lambda example: example["image"])
