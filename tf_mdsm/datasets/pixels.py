"""Images as callers have them, converted to float32 pixels in [0, 1]."""

import warnings
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.pixel_values import require_noisy_pixels

__all__ = ["as_images", "flat_floats", "to_float", "to_float_array", "warn_unless_pixels"]


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Converts images to float32 pixels in [0, 1].

    Args:
        images: uint8, which is divided by 255, or floats in [0, 1]; any shape.

    Returns:
        float32 of the same shape.
    """
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    return tf.cast(images, tf.float32)


def to_float_array(images: np.ndarray) -> np.ndarray:
    """The same for arrays, as a NumPy array."""
    return to_float(tf.constant(images)).numpy()


def as_images(images: Any, image_shape: tuple[int | None, ...]) -> tf.Tensor:
    """Converts images of any precision, from any kind of array, as `to_float` does.

    Only the dtype and the shape are checked. So it adds nothing to a compiled function, and noisy
    images may leave [0, 1].

    Args:
        images: uint8 or floats, [B, H, W, C]: a tensor, an array or nested lists.
        image_shape: height, width and channels; None where any number is right.

    Returns:
        float32 [B, H, W, C].

    Raises:
        InvalidArgument: for other dtypes and shapes.
    """
    try:
        images = tf.convert_to_tensor(images)
    except (TypeError, ValueError) as error:
        requirement = "be one array of numbers, [B, H, W, C]"
        raise InvalidArgument("images", requirement, one_line(error)) from error
    if not (images.dtype == tf.uint8 or images.dtype.is_floating):
        requirement = "be uint8 from 0 to 255, or floats in [0, 1]"
        raise InvalidArgument("images", requirement, f"dtype {images.dtype.name}")
    if not images.shape.is_compatible_with([None, *image_shape]):
        raise InvalidArgument("images", _shape_requirement(images.shape, image_shape), images.shape)
    if images.shape.rank is None or None in images.shape[1:]:
        images = tf.ensure_shape(images, [None, *image_shape])
    return to_float(images)


def warn_unless_pixels(images: tf.Tensor, *, stacklevel: int) -> None:
    """Warns of images of which 1 is not white, as pixels in [0, 255] (`require_noisy_pixels`).

    Args:
        images: float32 [B, H, W, C]; of a tensor of a graph nothing is known.
        stacklevel: of the warning.
    """
    if tf.is_symbolic_tensor(images):
        return
    try:
        require_noisy_pixels(images.numpy(), "images")
    except InvalidArgument as error:
        warnings.warn(str(error), stacklevel=stacklevel + 1)


def _shape_requirement(shape: tf.TensorShape, image_shape: tuple[int | None, ...]) -> str:
    """What images of a wrong shape must be, with the remedy for the two most frequent ones."""
    sizes = ", ".join(str(size or name) for size, name in zip(image_shape, "HWC", strict=True))
    requirement = f"have the shape [B, {sizes}]"
    if shape.is_compatible_with(image_shape):
        return f"{requirement} (one image as image[None], a data set of them as dataset.batch(64))"
    if shape.rank == 3 and shape[1:].concatenate(1).is_compatible_with(image_shape):
        return f"{requirement} (gray images have one channel as images[..., None])"
    return requirement


def flat_floats(images: np.ndarray) -> np.ndarray:
    """Images as float32 [N, d], pixels in [0, 1]."""
    scale = 1 / 255 if images.dtype == np.uint8 else 1.0
    return images.reshape(len(images), -1).astype(np.float32) * np.float32(scale)
