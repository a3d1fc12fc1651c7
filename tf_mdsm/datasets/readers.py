"""Readers of data sources: one function for each source, which returns images of their own size.

Every reader raises an error that names the file or the setting that cannot be used.
"""

import gzip
import logging
import math
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.image_files import files_in_folder
from tf_mdsm.system.npz import read_array, require_memory
from tf_mdsm.system.pictures import PICTURE_ENDINGS, PICTURE_READ_ERRORS, read_picture
from tf_mdsm.system.pixel_values import PixelCheck, to_bytes

__all__ = [
    "PHOTOGRAPHS",
    "folder_files",
    "idx_file",
    "read_digits",
    "read_folder",
    "read_idx",
    "read_npz",
    "read_numbered_folder",
    "read_photographs",
    "read_tfds",
    "require_disjoint_splits",
    "tfds_full_name",
]

_LOGGER = logging.getLogger(__name__)

# Photographs bundled with scikit-image, by split.
PHOTOGRAPHS = {
    "train": (
        "brick.png",
        "chelsea.png",
        "clock_motion.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "moon.png",
        "motorcycle_left.png",
        "motorcycle_right.png",
        "rocket.jpg",
    ),
    "test": ("astronaut.png", "camera.png"),
}

# First part of a file's name in an IDX folder, by split.
_IDX_PREFIXES = {"train": "train", "test": "t10k"}
# Number of dimensions of the array in an IDX file, by content.
_IDX_DIMENSIONS = {"images": 3, "labels": 1}


def read_digits() -> np.ndarray:
    """Reads scikit-learn's 1,797 handwritten digits: float32 [1797, 8, 8, 1] in [0, 1].

    Source: UCI's "Optical Recognition of Handwritten Digits", test set, 17 gray levels.
    """
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return (digits.images / 16.0).astype(np.float32)[..., None]


def read_photographs() -> Iterator[np.ndarray]:
    """Reads the photographs of `PHOTOGRAPHS` that scikit-image bundles: uint8 [H, W, 3]."""
    import skimage

    folder = os.path.join(os.path.dirname(skimage.__file__), "data")
    for name in (*PHOTOGRAPHS["train"], *PHOTOGRAPHS["test"]):
        yield to_bytes(read_picture(os.path.join(folder, name)))


def read_idx(path: str, split: str, content: str = "images") -> np.ndarray:
    """Reads a folder of IDX files, the format of MNIST: images or labels of one split.

    Args:
        path: folder with `train-images-idx3-ubyte` and `t10k-images-idx3-ubyte`, each plain
            or compressed with the ending `.gz`, and for labels `train-labels-idx1-ubyte` and
            `t10k-labels-idx1-ubyte`.
        split: "train" or "test".
        content: "images" or "labels".

    Returns:
        images uint8 [N, H, W, 1], or labels uint8 [N].

    Raises:
        InvalidArgument: for a missing file, another format, a truncated file, or another split.
    """
    file_name, dimensions = idx_file(path, split, content), _IDX_DIMENSIONS[content]
    # Read the header and the values.
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
    # Check the length and give the array its shape.
    if len(values) != size:
        raise InvalidArgument(
            "path", f"hold {size} bytes of {content}", f"{file_name}, another length"
        )
    try:
        array = np.frombuffer(values, np.uint8).reshape(shape)
    except ValueError as error:  # Zero images of a size that is too large for an array.
        raise InvalidArgument("path", f"hold a readable IDX file ({error})", file_name) from error
    return array[..., None] if content == "images" else array


def idx_file(path: str, split: str, content: str = "images") -> str:
    """The path of one of the files that `read_idx` reads; arguments and errors as there."""
    if split not in _IDX_PREFIXES:
        raise InvalidArgument("split", f"be one of {', '.join(_IDX_PREFIXES)}", split)
    name = f"{_IDX_PREFIXES[split]}-{content}-idx{_IDX_DIMENSIONS[content]}-ubyte"
    stem = os.path.join(path, name)
    found = next((file for file in (stem, f"{stem}.gz") if os.path.isfile(file)), None)
    if found is None:
        raise InvalidArgument("path", f"be a folder that holds {name}", path)
    return found


def read_npz(path: str) -> np.ndarray:
    """Reads the array `images` of an `.npz` file, or the array of an `.npy` file.

    Args:
        path: the file. Its array is [N, H, W] or [N, H, W, C], C = 1, 2, 3.

    Returns:
        images [N, H, W, C]; floats as float32, other numbers as they are in the file.

    Raises:
        InvalidArgument: for a missing file or array, and for an array that is not of images.
    """
    images = read_array(path, "images")
    if images.dtype.kind == "f":
        with np.errstate(over="ignore"):  # What float32 cannot hold lies outside [0, 1] anyway.
            images = images.astype(np.float32, copy=False)
    if images.ndim == 3 and images.shape[1] != images.shape[2] <= 4:
        requirement = "hold `images` [N, H, W, C], not one image [H, W, C] (which is image[None])"
        raise InvalidArgument("path", requirement, images.shape)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 2, 3) or 0 in images.shape[1:]:
        raise InvalidArgument(
            "path", "hold `images` of shape [N, H, W] or [N, H, W, C], C = 1, 2, 3", images.shape
        )
    return images


def read_folder(path: str, skip_damaged: bool = False) -> Iterator[np.ndarray]:
    """Reads the pictures of `read_numbered_folder` without the places of their files."""
    for _, pixels in read_numbered_folder(path, skip_damaged):
        yield pixels


def read_numbered_folder(path: str, skip_damaged: bool = False) -> Iterator[tuple[int, np.ndarray]]:
    """Reads all pictures of a folder and its subfolders, in the order of their names.

    Args:
        path: the folder.
        skip_damaged: skip a file that is not a readable picture, with a warning that names it.

    Yields:
        the place of the file in `folder_files`, and an image uint8 [H, W, 3] of any size.

    Raises:
        InvalidArgument: for a folder without pictures, and, after the last one, for pictures that
            all stay far from white (see `PixelCheck`). Without `skip_damaged`, also for a file
            that is not a readable picture, naming it.
    """
    check = PixelCheck("path")
    for number, name in enumerate(files_in_folder(path, PICTURE_ENDINGS, "path")):
        try:
            pixels = read_picture(name)
        except PICTURE_READ_ERRORS as error:
            if not skip_damaged:
                raise InvalidArgument("path", f"hold images only ({error})", name) from error
            _LOGGER.warning("%s is skipped (%s)", name, one_line(error))
            continue
        check.add(pixels)
        yield number, to_bytes(pixels)
    check.finish()


def folder_files(path: str) -> list[str]:
    """The paths of the pictures that `read_folder` reads, in the order of their names.

    Raises:
        InvalidArgument: for a folder without pictures.
    """
    return files_in_folder(path, PICTURE_ENDINGS, "path", tell=False)


def read_tfds(name: str, split: str, data_dir: str, feature: str = "image") -> tf.data.Dataset:
    """Reads a feature of a data set of TensorFlow Datasets, in the same order every time.

    Prepared data are used if they exist. Otherwise TFDS downloads and prepares them.

    Args:
        name: the data set's name for `tfds.builder`: "cifar10", "celeb_a",
            "fashion_mnist:3.0.1", ….
        split: one of its splits, or a slice of one.
        data_dir: folder of prepared data; empty: the default of TFDS.
        feature: name of the feature.

    Returns:
        the feature of each example; of `image`, uint8 [H, W, C].

    Raises:
        InvalidArgument: for an unknown data set or split, for a data set without the feature, and
            for a data set that is not prepared and cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    builder = _tfds_builder(name, data_dir)
    # Prepare its files.
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS passes on whatever its many downloaders raise.
        # If several workers prepare one folder at the same time, only the first one succeeds.
        # The others find the folder prepared.
        builder = tfds.builder(name, data_dir=data_dir or None)
        if not builder.is_prepared():
            advice = f"name a data_dir with {name} prepared, as it cannot be downloaded here"
            raise InvalidArgument("data_dir", advice, f"{data_dir!r} ({error})") from error
    # Read the feature.
    features: Any = builder.info.features
    if feature not in features:
        raise InvalidArgument("name", f"be a data set with a feature `{feature}`", name)
    try:
        as_dataset: Any = builder.as_dataset  # Its decorator hides the parameters.
        examples = as_dataset(split=split, shuffle_files=False)
    except (ValueError, KeyError) as error:
        known = ", ".join(builder.info.splits)
        raise InvalidArgument("split", f"be one of {known}", split) from error
    return examples.map(lambda example: example[feature])


def tfds_full_name(name: str, data_dir: str) -> str:
    """Name, configuration and version of a data set of TensorFlow Datasets, "celeb_a/2.1.0".

    Raises:
        InvalidArgument: for an unknown data set.
    """
    return _tfds_builder(name, data_dir).info.full_name


def require_disjoint_splits(name: str, data_dir: str, split: str, held_out_split: str) -> None:
    """Refuses two splits of a prepared data set of TensorFlow Datasets that share examples.

    Raises:
        InvalidArgument: about `held_out_split`.
    """
    splits = _tfds_builder(name, data_dir).info.splits
    if not splits:
        return
    training, held_out = (
        [(file.filename, _places(file)) for file in splits[part].file_instructions]
        for part in (split, held_out_split)
    )
    shared = sum(
        len(range(max(ours.start, theirs.start), min(ours.stop, theirs.stop)))
        for file, ours in training
        for other, theirs in held_out
        if file == other
    )
    if shared:
        requirement = f"share no example with split ({split}), which trains the model"
        received = f"{held_out_split}, of which {shared} examples are in both"
        raise InvalidArgument("held_out_split", requirement, received)


def _places(instruction: Any) -> range:
    """The places of the examples that are read of a file."""
    skip, take = instruction.skip, instruction.take
    return range(skip, instruction.examples_in_shard if take == -1 else skip + take)


def _tfds_builder(name: str, data_dir: str) -> Any:
    """What TFDS knows of a data set, prepared or not."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except (tfds.core.DatasetNotFoundError, ImportError, ValueError, AssertionError) as error:
        raise InvalidArgument("name", "be a data set that TFDS knows", name) from error
