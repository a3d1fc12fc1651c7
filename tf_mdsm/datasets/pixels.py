"""Conversion of pixel values to float32 in [0, 1]."""

import tensorflow as tf

__all__ = ["to_float"]


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
