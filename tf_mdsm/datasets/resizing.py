"""Resizing of images: crop, pad, scale, and convert between gray and color."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument

__all__ = ["resize", "resize_all"]

# Images that are resized at a time.
_BATCH_SIZE = 1_024


def resize_all(
    images: np.ndarray | tf.data.Dataset | Iterable[np.ndarray],
    image_size: int,
    channels: int,
    crop: int,
) -> Iterator[np.ndarray]:
    """Resizes all images of a source by `resize`, in parts.

    Args:
        images: an array [N, H, W, c], a data set of images [H, W, c] of any sizes, or color
            images [H, W, 3] of any sizes.
        image_size: height and width of the result.
        channels: number of channels of the result.
        crop: side of the central square that is used; 0: the largest that fits.

    Yields:
        arrays [n, image_size, image_size, channels].

    Raises:
        InvalidArgument: if the images' number of channels cannot be converted to `channels`.
    """

    def resize_one(image: Any) -> tf.Tensor:
        return resize(image, image_size, channels, crop)

    if isinstance(images, np.ndarray):
        _require_convertible(images.shape[-1], channels)
        if images.shape[1:] == (image_size, image_size, channels) and not crop:
            yield images
            return
        for first in range(0, len(images), _BATCH_SIZE):
            yield resize_one(images[first : first + _BATCH_SIZE]).numpy()
    elif isinstance(images, tf.data.Dataset):
        element: Any = images.element_spec
        _require_convertible(element.shape[-1], channels)
        resized = images.map(resize_one, num_parallel_calls=tf.data.AUTOTUNE)
        yield from resized.batch(_BATCH_SIZE).as_numpy_iterator()
    else:
        _require_convertible(3, channels)
        resized = (resize_one(image).numpy() for image in images)
        while part := list(itertools.islice(resized, _BATCH_SIZE)):
            yield np.stack(part)


def _require_convertible(channels: int, wanted: int) -> None:
    if channels != wanted and {channels, wanted} != {1, 3}:
        raise InvalidArgument("channels", f"be {channels}, as the data have", wanted)


def resize(
    image: tf.Tensor | np.ndarray, image_size: int, channels: int, crop: int = 0
) -> tf.Tensor:
    """Resizes images to [..., image_size, image_size, channels]; the dtype stays the same.

    A larger image is cropped to its central square and scaled down. A smaller image is padded
    with zeros on all sides.

    Args:
        image: one image or a batch of one size, [..., H, W, c], c = 1 or 3 if it is to be
            converted.
        image_size: height and width of the result.
        channels: number of channels of the result.
        crop: side of the central square; 0: the largest that fits.
    """
    pixels: Any = tf.convert_to_tensor(image)
    dtype = pixels.dtype
    # Convert between gray and color.
    if pixels.shape[-1] == 3 and channels == 1:
        pixels = tf.image.rgb_to_grayscale(pixels)
    if pixels.shape[-1] == 1 and channels == 3:
        pixels = tf.image.grayscale_to_rgb(pixels)
    # Crop.
    height, width = tf.shape(pixels)[-3], tf.shape(pixels)[-2]
    if crop:
        pixels = tf.image.resize_with_crop_or_pad(pixels, crop, crop)
    elif height > image_size or width > image_size:
        side = tf.maximum(tf.minimum(height, width), image_size)
        pixels = tf.image.resize_with_crop_or_pad(pixels, side, side)
    # Scale down.
    if tf.shape(pixels)[-3] > image_size:
        pixels = tf.image.resize(tf.cast(pixels, tf.float32), [image_size] * 2, antialias=True)
        if dtype.is_integer:
            pixels = tf.round(tf.clip_by_value(pixels, 0, 255))
        pixels = tf.cast(pixels, dtype)
    # Pad.
    pixels = tf.image.resize_with_crop_or_pad(pixels, image_size, image_size)
    return tf.ensure_shape(pixels, [*pixels.shape[:-3], image_size, image_size, channels])
