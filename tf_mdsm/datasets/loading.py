"""From a source to two arrays of images, one to train on and one to look at."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets import readers, synthetic
from tf_mdsm.errors import InvalidArgument

__all__ = ["conform", "load_images", "read_both_splits", "split_off"]

_SYNTHETIC_IMAGES = 10_000

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
) -> tuple[np.ndarray, np.ndarray]:
    """Training images and held-out images; arguments are the fields of `config.data`.

    Returns:
        two arrays uint8, or float32 in [0, 1], [N, image_size, image_size, channels].

    Raises:
        InvalidArgument: for anything that keeps the source from being read, for no images, and
            for pixels that are not in [0, 1].
    """

    def bring(images) -> np.ndarray:
        return _checked(_conform_all(images, image_size, channels, crop))

    splits = {
        "tfds": lambda which: readers.read_tfds(name, which, data_dir),
        "idx": lambda which: readers.read_idx(path, which),
    }
    wholes = {
        "digits": readers.read_digits,
        "npz": lambda: readers.read_npz(path),
        "folder": lambda: readers.read_folder(path),
        "synthetic": lambda: _synthetic(name, image_size, channels),
    }
    if source in splits:
        return read_both_splits(lambda which: bring(splits[source](which)), split, held_out_split)
    if source not in wholes:
        raise InvalidArgument("source", f"be one of {', '.join([*splits, *wholes])}", source)
    return split_off(bring(wholes[source]()), held_out_fraction)


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
    held_out = max(1, round(fraction * len(values)))
    if held_out >= len(values):
        raise InvalidArgument(
            "held_out_fraction", f"leave training images out of {len(values)}", fraction
        )
    order = np.random.default_rng(0).permutation(len(values))
    return values[order[held_out:]], values[order[:held_out]]


def _synthetic(name: str, image_size: int, channels: int) -> np.ndarray:
    if name == "mixture":
        if (image_size, channels) != (1, 2):
            raise InvalidArgument("image_size", "be 1, and channels 2, for mixture", image_size)
        return synthetic.mixture(_SYNTHETIC_IMAGES)
    if name == "blobs":
        return synthetic.blobs(_SYNTHETIC_IMAGES, image_size, channels)
    raise InvalidArgument("name", "be mixture or blobs for source synthetic", name)


def _conform_all(
    images: np.ndarray | tf.data.Dataset | Iterable[np.ndarray],
    image_size: int,
    channels: int,
    crop: int,
) -> np.ndarray:
    def conform_one(image: tf.Tensor) -> tf.Tensor:
        return conform(image, image_size, channels, crop)

    shape = (image_size, image_size, channels)
    if isinstance(images, np.ndarray):
        _require_convertible(images.shape[-1], channels)
        if images.shape[1:] == shape and not crop:
            return images
        batches = tf.data.Dataset.from_tensor_slices(images).batch(1024).map(conform_one)
    elif isinstance(images, tf.data.Dataset):
        _require_convertible(images.element_spec.shape[-1], channels)
        batches = images.map(conform_one, num_parallel_calls=tf.data.AUTOTUNE).batch(1024)
    else:
        _require_convertible(3, channels)
        return np.stack([conform_one(image).numpy() for image in images])
    arrays = list(batches.as_numpy_iterator())
    return np.concatenate(arrays) if arrays else np.zeros((0, *shape), np.uint8)


def _require_convertible(have: int, wanted: int) -> None:
    if have != wanted and {have, wanted} != {1, 3}:
        raise InvalidArgument("channels", f"be {have}, as the data have", wanted)


def conform(image: tf.Tensor, image_size: int, channels: int, crop: int = 0) -> tf.Tensor:
    """Images [..., H, W, c] of any size as [..., image_size, image_size, channels].

    A larger image is cut to its central square (of side `crop`, if given) and resized; a
    smaller one is padded with zeros on all sides. The dtype stays.
    """
    image = tf.convert_to_tensor(image)
    dtype = image.dtype
    if image.shape[-1] == 3 and channels == 1:
        image = tf.image.rgb_to_grayscale(image)
    if image.shape[-1] == 1 and channels == 3:
        image = tf.image.grayscale_to_rgb(image)
    height, width = tf.shape(image)[-3], tf.shape(image)[-2]
    if crop:
        image = tf.image.resize_with_crop_or_pad(image, crop, crop)
    elif height > image_size or width > image_size:
        side = tf.maximum(tf.minimum(height, width), image_size)
        image = tf.image.resize_with_crop_or_pad(image, side, side)
    if tf.shape(image)[-3] > image_size:
        image = tf.image.resize(tf.cast(image, tf.float32), [image_size] * 2, antialias=True)
        if dtype.is_integer:
            image = tf.round(tf.clip_by_value(image, 0, 255))
        image = tf.cast(image, dtype)
    image = tf.image.resize_with_crop_or_pad(image, image_size, image_size)
    return tf.ensure_shape(image, [*image.shape[:-3], image_size, image_size, channels])


def _checked(images: np.ndarray) -> np.ndarray:
    if not len(images):
        raise InvalidArgument("source", "hold images", "none")
    if images.dtype != np.uint8:
        low, high = images.min(), images.max()
        if not (low >= 0 and high <= 1):
            raise InvalidArgument("source", "hold pixels in [0, 1]", f"[{low:.4g}, {high:.4g}]")
    return images
