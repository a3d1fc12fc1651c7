"""Pixel values: uint8 levels as floats in [0, 1]."""

import tensorflow as tf

__all__ = ["to_float"]


def to_float(images: tf.Tensor) -> tf.Tensor:
    """Pixels in [0, 1], float32; uint8 counts 255 levels."""
    if images.dtype == tf.uint8:
        return tf.cast(images, tf.float32) / 255.0
    return tf.cast(images, tf.float32)
