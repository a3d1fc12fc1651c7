"""From a source to two arrays of images, one to train on and one to look at."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from tf_mdsm.datasets import readers, synthetic
from tf_mdsm.datasets.npy_store import open_npy, store
from tf_mdsm.datasets.resizing import resize_all
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.atomic import atomic_folder

__all__ = ["load_images", "read_both_splits", "split_off"]

_SYNTHETIC_IMAGES = 10_000

# Images that are moved on disk at a time.
_PART = 1_024

T = TypeVar("T")


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
    """Training images and held-out images; arguments are the fields of `config.data`.

    With `cache`, the images of every source and size are brought to size once and kept in a folder
    of their own below it; the arrays are views of its files, and memory holds what is looked at.

    Returns:
        two arrays uint8, or float32 in [0, 1], [N, image_size, image_size, channels].

    Raises:
        InvalidArgument: for anything that keeps the source from being read or the cache from
            being used, for no images, and for pixels that are not in [0, 1].
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
    if not cache:
        arrays = [_joined(parts) for parts in _read(**settings)]
        return arrays if len(arrays) == 2 else split_off(*arrays, held_out_fraction)
    key = json.dumps([settings, held_out_fraction], sort_keys=True).encode()
    folder = os.path.join(cache, hashlib.sha256(key).hexdigest()[:16])
    try:
        if not os.path.isdir(folder):
            _fill(folder, settings, held_out_fraction)
        return tuple(open_npy(os.path.join(folder, name)) for name in _STORED)
    except (OSError, ValueError) as error:
        usable = f"be a folder that can be written and read ({one_line(error)})"
        raise InvalidArgument("cache", usable, cache) from error


# Training images and held-out images in a cache.
_STORED = ("training.npy", "held_out.npy")


def _fill(folder: str, settings: dict, held_out_fraction: float) -> None:
    try:
        with atomic_folder(folder) as partial:
            paths = [os.path.join(partial, name) for name in _STORED]
            splits = _read(**settings)
            if len(splits) == 1:
                whole = os.path.join(partial, "whole.npy")
                store(*splits, whole)
                images = open_npy(whole)
                os.remove(whole)
                orders = _split_orders(len(images), held_out_fraction)
                splits = [_in_order(images, order) for order in orders]
            for parts, path in zip(splits, paths, strict=True):
                store(parts, path)
    except OSError:
        # Of several processes that fill one folder, the first that is ready puts it in place.
        if not os.path.isdir(folder):
            raise


def _in_order(images: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    for first in range(0, len(order), _PART):
        yield images[order[first : first + _PART]]


def _read(
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
    """Images of one size, in parts [n, image_size, image_size, channels]: of the training split
    and of the held-out one, or of a source without splits."""

    def bring(images) -> Iterator[np.ndarray]:
        return _checked(resize_all(images, image_size, channels, crop))

    splits = {
        "tfds": lambda which: readers.read_tfds(name, which, data_dir),
        "idx": lambda which: readers.read_idx(path, which),
    }
    wholes = {
        "digits": readers.read_digits,
        "npz": lambda: readers.read_npz(path),
        "folder": lambda: readers.read_folder(path, skip_damaged),
        "synthetic": lambda: _synthetic(name, image_size, channels),
    }
    if source in splits:
        both = read_both_splits(splits[source], split, held_out_split)
        return [bring(images) for images in both]
    if source not in wholes:
        raise InvalidArgument("source", f"be one of {', '.join([*splits, *wholes])}", source)
    return [bring(wholes[source]())]


def _joined(parts: Iterator[np.ndarray]) -> np.ndarray:
    first, *others = parts
    return np.concatenate([first, *others]) if others else first


def read_both_splits(read: Callable[[str], T], split: str, held_out_split: str) -> tuple[T, T]:
    """What a reader makes of the training split and of the held-out one.

    Raises:
        InvalidArgument: for one split twice; the reader's about `split`, as of the split it is.
    """
    if split == held_out_split:
        advice = f"differ from split ({split}); slices as {split}[:90%] and {split}[90%:] do"
        raise InvalidArgument("held_out_split", advice, held_out_split)
    training = read(split)
    try:
        return training, read(held_out_split)
    except InvalidArgument as error:
        if error.field == "split":
            raise InvalidArgument("held_out_split", error.requirement, error.received) from error
        raise


def split_off(values: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Images, or their labels, [N, ...], in two parts: training and held-out.

    The same are held out whatever the run's seed.

    Raises:
        InvalidArgument: if none would be left to train on.
    """
    training, held_out = _split_orders(len(values), fraction)
    return values[training], values[held_out]


def _split_orders(count: int, fraction: float) -> tuple[np.ndarray, np.ndarray]:
    held_out = max(1, round(fraction * count))
    if held_out >= count:
        leave = f"leave training images out of {count}"
        raise InvalidArgument("held_out_fraction", leave, fraction)
    order = np.random.default_rng(0).permutation(count)
    return order[held_out:], order[:held_out]


def _synthetic(name: str, image_size: int, channels: int) -> np.ndarray:
    if name == "mixture":
        if (image_size, channels) != (1, 2):
            raise InvalidArgument("image_size", "be 1, and channels 2, for mixture", image_size)
        return synthetic.mixture(_SYNTHETIC_IMAGES)
    if name == "blobs":
        return synthetic.blobs(_SYNTHETIC_IMAGES, image_size, channels)
    raise InvalidArgument("name", "be mixture or blobs for source synthetic", name)


def _checked(parts: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    count = 0
    for images in parts:
        count += len(images)
        if images.dtype != np.uint8 and len(images):
            low, high = images.min(), images.max()
            if not (low >= 0 and high <= 1):
                found = f"[{low:.4g}, {high:.4g}]"
                raise InvalidArgument("source", "hold pixels in [0, 1]", found)
        yield images
    if not count:
        raise InvalidArgument("source", "hold images", "none")
