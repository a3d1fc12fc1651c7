"""Loading of a data source as training images and validation images of one size."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets import readers, synthetic
from tf_mdsm.datasets.image_cache import open_cached
from tf_mdsm.datasets.npy_store import open_npy, write_npy
from tf_mdsm.datasets.resizing import resize_all
from tf_mdsm.datasets.source_fingerprint import SourceFingerprint
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.pixel_values import PixelCheck, as_pixels

__all__ = ["load_images", "read_both_splits", "split_indices", "split_off_validation"]

# Number of images of a synthetic data set, before validation images are split off.
_SYNTHETIC_IMAGES = 10_000

# Files of a cache folder: training images and validation images.
_CACHE_FILES = ("training.npy", "held_out.npy")

# Number of the way in which images are read, resized and stored. It is raised when that changes, so
# that what an earlier version stored is not taken for what this one would store.
_FORMAT = 3

# Images that are copied at a time from one file of a cache to another.
_BATCH_SIZE = 1_024

_T = TypeVar("_T")


def load_images(
    source: str,
    *,
    image_size: int,
    channels: int,
    name: str = "",
    path: str = "",
    data_dir: str = "",
    split: str = "train",
    held_out_split: str = "test",
    held_out_fraction: float = 0.1,
    crop: int = 0,
    skip_damaged: bool = False,
    cache: str = "",
) -> tuple[np.ndarray, np.ndarray]:
    """Loads training images and validation images of one size.

    Each argument is the setting of `config.data` of the same name (docs/reference/settings.md).
    Images are resized to [image_size, image_size, channels]. A source with splits gives its two
    splits; of other sources, a random fraction of the images is used for validation.

    With `cache`, the resized images are stored once, in a folder below `cache` for each
    combination of arguments and content of the source: a source that has changed is read again,
    one that was moved or touched is not. The returned arrays are then memory-mapped files: images
    are read from disk when they are indexed.

    Returns:
        two arrays uint8, or float32 in [0, 1], [N, image_size, image_size, channels].

    Raises:
        InvalidArgument: for every reason why the source cannot be read or the cache cannot be
            used, for a source without images, and for pixels outside [0, 1].
    """
    settings = {
        "source": source,
        "image_size": image_size,
        "channels": channels,
        "name": name,
        "path": path,
        "data_dir": data_dir,
        "split": split,
        "held_out_split": held_out_split,
        "crop": crop,
        "skip_damaged": skip_damaged,
    }
    if cache:
        return _load_cached(cache, settings, held_out_fraction)
    splits = [_concatenate(parts) for parts in _read_source(**settings)]
    if len(splits) == 2:
        return splits[0], splits[1]
    return split_off_validation(splits[0], held_out_fraction)


def read_both_splits(read: Callable[[str], _T], split: str, held_out_split: str) -> tuple[_T, _T]:
    """Reads the training split and the validation split of a source.

    Args:
        read: the reader, a function of a split's name.
        split: name of the training split.
        held_out_split: name of the validation split.

    Raises:
        InvalidArgument: if both are the same split, and what the reader raises. An error of the
            reader about `split` names `held_out_split` where that is the split it read.
    """
    if split == held_out_split:
        whole = split.partition("[")[0]
        advice = (
            f"differ from split ({split}); two slices of one split are "
            f"{whole}[:90%] and {whole}[90%:]"
        )
        raise InvalidArgument("held_out_split", advice, held_out_split)
    training = read(split)
    try:
        return training, read(held_out_split)
    except InvalidArgument as error:
        if error.field == "split":
            raise InvalidArgument("held_out_split", error.requirement, error.received) from error
        raise


def split_off_validation(values: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Splits images, or their labels, randomly into a training part and a validation part.

    The split depends on their number and the fraction only, not on the run's seed.

    Args:
        values: [N, ...].
        fraction: share of the validation part, which has at least one element.

    Returns:
        the training part and the validation part.

    Raises:
        InvalidArgument: if no training images would be left.
    """
    training, validation = split_indices(len(values), fraction)
    return values[training], values[validation]


def split_indices(count: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Random indices of the training part and of the validation part of `count` images.

    Raises:
        InvalidArgument: if no training images would be left.
    """
    num_validation = max(1, round(fraction * count))
    if num_validation >= count:
        leave = f"leave training images out of {count}"
        raise InvalidArgument("held_out_fraction", leave, fraction)
    indices = np.random.default_rng(0).permutation(count)
    return indices[num_validation:], indices[:num_validation]


def _load_cached(
    cache: str, settings: dict[str, Any], held_out_fraction: float
) -> tuple[np.ndarray, np.ndarray]:
    """The images as memory-mapped files of the cache, which is filled if it does not have them."""
    names = ("source", "name", "path", "data_dir", "split", "held_out_split")

    def key(source: SourceFingerprint) -> list:
        """All that the images in the cache depend on."""
        if settings["source"] in ("digits", "synthetic"):
            # Computed images are always the same, and their folders have the names that earlier
            # versions gave them.
            return [settings, held_out_fraction]
        # Where the images are does not matter, but which they are.
        places = {"name": "", "path": "", "data_dir": ""}
        content = {"content": source.content, "format": _FORMAT}
        return [{**settings, **places, **content}, held_out_fraction]

    training, validation = open_cached(
        cache,
        {name: settings[name] for name in names},
        key=key,
        fill=lambda folder: _fill_cache(folder, settings, held_out_fraction),
        open_folder=lambda folder: [open_npy(os.path.join(folder, name)) for name in _CACHE_FILES],
    )
    return training, validation


def _fill_cache(folder: str, settings: dict[str, Any], held_out_fraction: float) -> None:
    """Reads and resizes the images, part by part, and writes them to a folder."""
    splits = _read_source(**settings)
    if len(splits) == 1:
        # The random order needs all images: they go to disk first, then to their part.
        temporary = os.path.join(folder, "whole.npy")
        write_npy(splits[0], temporary)
        images = open_npy(temporary)
        os.remove(temporary)  # It can be read until `images` is closed.
        splits = [
            _reordered(images, indices) for indices in split_indices(len(images), held_out_fraction)
        ]
    for parts, name in zip(splits, _CACHE_FILES, strict=True):
        write_npy(parts, os.path.join(folder, name))


def _reordered(images: np.ndarray, indices: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(indices), _BATCH_SIZE):
        yield images[indices[first : first + _BATCH_SIZE]]


def _concatenate(parts: Iterator[np.ndarray]) -> np.ndarray:
    """All parts as one array; a single part is not copied."""
    first, *others = parts
    return np.concatenate([first, *others]) if others else first


def _read_source(
    *,
    source: str,
    image_size: int,
    channels: int,
    name: str,
    path: str,
    data_dir: str,
    split: str,
    held_out_split: str,
    crop: int,
    skip_damaged: bool,
) -> list[Iterator[np.ndarray]]:
    """Resized images of a source, in parts [n, image_size, image_size, channels].

    Returns:
        two iterators, over the training split and the validation split, or one iterator over all
        images of a source without splits.
    """

    def resized(images: np.ndarray | tf.data.Dataset | Iterable[np.ndarray]):
        check = PixelCheck("source")
        return _checked(resize_all(images, image_size, channels, crop, check), check)

    readers_of_split = {
        "tfds": lambda split: readers.read_tfds(name, split, data_dir),
        "idx": lambda split: readers.read_idx(path, split),
    }
    readers_of_all = {
        "digits": readers.read_digits,
        "npz": lambda: readers.read_npz(path),
        "folder": lambda: readers.read_folder(path, skip_damaged),
        "synthetic": lambda: _synthetic(name, image_size, channels),
    }
    if source in readers_of_split:
        both = read_both_splits(readers_of_split[source], split, held_out_split)
        if source == "tfds":
            readers.require_disjoint_splits(name, data_dir, split, held_out_split)
        return [resized(images) for images in both]
    if source not in readers_of_all:
        known = ", ".join([*readers_of_split, *readers_of_all])
        raise InvalidArgument("source", f"be one of {known}", source)
    return [resized(readers_of_all[source]())]


def _synthetic(name: str, image_size: int, channels: int) -> np.ndarray:
    if name == "mixture":
        if (image_size, channels) != (1, 2):
            raise InvalidArgument("image_size", "be 1, and channels 2, for mixture", image_size)
        return synthetic.mixture(_SYNTHETIC_IMAGES)
    if name == "blobs":
        return synthetic.blobs(_SYNTHETIC_IMAGES, image_size, channels)
    raise InvalidArgument("name", "be mixture or blobs for source synthetic", name)


def _checked(parts: Iterator[np.ndarray], check: PixelCheck) -> Iterator[np.ndarray]:
    """The same parts, floats as float32 in [0, 1]; finishes the check, and refuses no images."""
    count = 0
    for images in parts:
        count += len(images)
        yield as_pixels(images)
    if not count:
        raise InvalidArgument("source", "hold images", "none")
    check.finish()
