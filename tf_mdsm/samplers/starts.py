"""Where chains begin."""

import tensorflow as tf

from tf_mdsm import randomness

__all__ = ["isotropic_start"]


def isotropic_start(seeds: tf.Tensor, image_shape: tuple[int, int, int]) -> tf.Tensor:
    """The paper's start, 0.5 + N(0, I).

    Args:
        seeds: one seed an image, int64 [B], each >= 0.
        image_shape: height, width, channels.

    Returns:
        float32 [B, H, W, C].
    """
    return 0.5 + randomness.normal(seeds, (0, 0), "start", image_shape)
