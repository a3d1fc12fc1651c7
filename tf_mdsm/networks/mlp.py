"""A multilayer perceptron for points in the plane: images of one pixel with two channels."""
# pyright: reportArgumentType=false
# (Keras annotates initializers as str)

from collections.abc import Iterator

import keras
from keras import layers

from tf_mdsm.networks.convolutions import fan_in_uniform

__all__ = ["mlp"]


def mlp(
    images: keras.KerasTensor, *, channels: int, seeds: Iterator[int], dtype: str
) -> keras.KerasTensor:
    """Three dense layers with SiLU: images [B, H, W, C] to features [B, channels].

    The unit interval is stretched to [-4, 4] first. At its own size all modes of a mixture look
    alike to the network.

    Args:
        images: symbolic images, points in the plane as [B, 1, 1, 2].
        channels: width of each layer.
        seeds: seeds of the initial weights.
        dtype: a Keras dtype policy.
    """
    points = layers.Flatten("channels_last", dtype=dtype)(images)
    x = layers.Rescaling(8.0, -4.0, dtype=dtype)(points)
    for depth in range(1, 4):
        fan_in = x.shape[-1]
        x = layers.Dense(
            channels,
            activation="silu",
            kernel_initializer=fan_in_uniform(fan_in, next(seeds)),
            bias_initializer=fan_in_uniform(fan_in, next(seeds)),
            dtype=dtype,
            name=f"dense{depth}",
        )(x)
    return x
