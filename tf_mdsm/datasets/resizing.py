"""Images of any size and kind, brought to one."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument

__all__ = ["resize", "resize_all"]

# Images that are brought to size at a time.
_PART = 1_024


def resize_all(
    images: np.ndarray | tf.data.Dataset | Iterable[np.ndarray],
    image_size: int,
    channels: int,
    crop: int,
) -> Iterator[np.ndarray]:
    """All images of a source by `resize`, in parts [n, image_size, image_size, channels].

    Raises:
        InvalidArgument: for images of a number of channels that cannot become `channels`.
    """

    def conform_one(image: tf.Tensor) -> tf.Tensor:
        return resize(image, image_size, channels, crop)

    if isinstance(images, np.ndarray):
        _require_convertible(images.shape[-1], channels)
        if images.shape[1:] == (image_size, image_size, channels) and not crop:
            yield images
            return
        for first in range(0, len(images), _PART):
            yield conform_one(images[first : first + _PART]).numpy()
    elif isinstance(images, tf.data.Dataset):
        _require_convertible(images.element_spec.shape[-1], channels)
        conformed = images.map(conform_one, num_parallel_calls=tf.data.AUTOTUNE)
        yield from conformed.batch(_PART).as_numpy_iterator()
    else:
        _require_convertible(3, channels)
        conformed = (conform_one(image).numpy() for image in images)
        while part := list(itertools.islice(conformed, _PART)):
            yield np.stack(part)


def _require_convertible(have: int, wanted: int) -> None:
    if have != wanted and {have, wanted} != {1, 3}:
        raise InvalidArgument("channels", f"be {have}, as the data have", wanted)


def resize(image: tf.Tensor, image_size: int, channels: int, crop: int = 0) -> tf.Tensor:
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
