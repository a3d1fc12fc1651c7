"""Resizing of images: crop, pad, scale, and convert between gray and color."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.pixel_values import PixelCheck

__all__ = ["convert_channels", "resize", "resize_all"]

# Images that are resized at a time.
_BATCH_SIZE = 1_024


def resize_all(
    images: np.ndarray | tf.data.Dataset | Iterable[np.ndarray],
    image_size: int,
    channels: int,
    crop: int,
    check: PixelCheck,
) -> Iterator[np.ndarray]:
    """Resizes all images of a source by `resize`, in parts.

    Args:
        images: an array [N, H, W, c]; a data set of images [H, W, c] of any sizes; or
            images [H, W, c] of any sizes.
        image_size: height and width of the result.
        channels: number of channels of the result.
        crop: side of the central square that is used; 0: the largest that fits.
        check: is given all images as they are in the source; the caller finishes it.

    Yields:
        arrays [n, image_size, image_size, channels], uint8 or floats.

    Raises:
        InvalidArgument: if the images are no pixels, or their number of channels cannot be
            converted to `channels`.
    """

    def resize_one(image: Any) -> tf.Tensor:
        return resize(image, image_size, channels, crop)

    if isinstance(images, np.ndarray):
        check.require_dtype(images.dtype)
        check.add(images)
        _require_convertible(images.shape[-1], channels)
        if images.shape[1:] == (image_size, image_size, channels) and not crop:
            yield images
            return
        for first in range(0, len(images), _BATCH_SIZE):
            yield resize_one(images[first : first + _BATCH_SIZE]).numpy()
        return
    if isinstance(images, tf.data.Dataset):
        element: Any = images.element_spec
        check.require_dtype(element.dtype.as_numpy_dtype)
        if element.shape.rank not in (None, 3):
            raise InvalidArgument("source", "hold images [H, W, C]", f"shape {element.shape}")
        if element.shape.rank == 3 and element.shape[-1] is not None:
            _require_convertible(element.shape[-1], channels)
            yield from _resize_in_graph(images, resize_one, check)
            return
        images = images.as_numpy_iterator()  # Each image has channels of its own.
    resized = (resize_one(image).numpy() for image in _checked(images, channels, check))
    while part := list(itertools.islice(resized, _BATCH_SIZE)):
        yield np.stack(part)


def _resize_in_graph(
    images: tf.data.Dataset, resize_one: Callable[[Any], tf.Tensor], check: PixelCheck
) -> Iterator[np.ndarray]:
    """Resizes a data set, several images at the same time, in parts."""
    resized = images.map(
        lambda image: (resize_one(image), tf.reduce_min(image), tf.reduce_max(image)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    for part, lowest, largest in resized.batch(_BATCH_SIZE).as_numpy_iterator():
        check.add_range(part.dtype, lowest.min(), largest.max())
        yield part


def _checked(
    images: Iterable[np.ndarray], channels: int, check: PixelCheck
) -> Iterator[np.ndarray]:
    """The same images; refuses those that are no pixels, or of other channels."""
    for image in images:
        check.add(image)
        _require_convertible(image.shape[-1], channels)
        yield image


def convert_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An image [H, W, c] of the same size and dtype in gray or in color, [H, W, channels].

    Raises:
        InvalidArgument: if its channels cannot be converted.
    """
    _require_convertible(image.shape[-1], channels)
    if image.shape[-1] == channels:
        return image
    return _with_channels(tf.convert_to_tensor(image), channels).numpy()


def _with_channels(pixels: tf.Tensor, channels: int) -> tf.Tensor:
    """Pixels [..., c] in gray or in color, [..., channels]."""
    if pixels.shape[-1] == 3 and channels == 1:
        # Of bytes, TensorFlow would not round but truncate.
        gray = tf.image.rgb_to_grayscale(tf.cast(pixels, tf.float32))
        return tf.cast(tf.round(gray) if pixels.dtype.is_integer else gray, pixels.dtype)
    if pixels.shape[-1] == 1 and channels == 3:
        return tf.image.grayscale_to_rgb(pixels)
    return pixels


def _require_convertible(channels: int, wanted: int) -> None:
    if channels > 3:
        requirement = "hold images of 1, 2 or 3 channels (transparency is read of pictures only)"
        raise InvalidArgument("source", requirement, f"{channels} channels")
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
        crop: side of the central square; 0, or longer than the image: the largest that fits.
    """
    pixels: Any = _with_channels(tf.convert_to_tensor(image), channels)
    dtype = pixels.dtype
    # Crop. A side longer than the image would put a black frame around it.
    height, width = tf.shape(pixels)[-3], tf.shape(pixels)[-2]
    largest_side = tf.maximum(tf.minimum(height, width), image_size)
    if crop:
        side = tf.minimum(crop, largest_side)
        pixels = tf.image.resize_with_crop_or_pad(pixels, side, side)
    elif height > image_size or width > image_size:
        pixels = tf.image.resize_with_crop_or_pad(pixels, largest_side, largest_side)
    # Scale down.
    low, high = tf.reduce_min(pixels), tf.reduce_max(pixels)
    if tf.shape(pixels)[-3] > image_size:
        pixels = tf.image.resize(tf.cast(pixels, tf.float32), [image_size] * 2, antialias=True)
        # Rounding carries a mean of equal numbers beyond them.
        pixels = tf.clip_by_value(pixels, tf.cast(low, tf.float32), tf.cast(high, tf.float32))
        pixels = tf.cast(tf.round(pixels) if dtype.is_integer else pixels, dtype)
    # Pad.
    pixels = tf.image.resize_with_crop_or_pad(pixels, image_size, image_size)
    return tf.ensure_shape(pixels, [*pixels.shape[:-3], image_size, image_size, channels])
