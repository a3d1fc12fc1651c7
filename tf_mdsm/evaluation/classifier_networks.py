"""The networks of classifiers whose features are compared: three convolutions, or residual blocks.

They use neither the program's random generators nor Keras' global settings.
"""

from typing import Any

import keras

__all__ = ["deep_network", "small_network"]

# Larger images are shrunk to at most this height and width before the first convolution, so that
# training takes minutes for images of any size.
_MAX_SIDE = 32


def small_network(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Three convolutions and a layer `features` of 64 units.

    Args:
        shape: height, width and channels of the images.
        classes: number of classes.

    Returns:
        a model from images, float32 [B, H, W, C] in [0, 1], to logits.
    """
    images = keras.Input(shape, dtype="float32")
    x = _shrunk(images)
    for number, (filters, strides) in enumerate(((16, 1), (32, 2), (64, 2))):
        x = _convolution(filters, 3, strides, number, activation="relu")(x)
    x = keras.layers.Flatten("channels_last", dtype="float32")(x)
    x = _dense(64, 3, activation="relu", name="features")(x)
    return keras.Model(images, _dense(classes, 4)(x))


def deep_network(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Three residual blocks and a layer `features`: 96 means over the image.

    The arguments and the result are those of `small_network`.
    """
    images = keras.Input(shape, dtype="float32")
    x = _convolution(16, 3, 1, seed=0)(_shrunk(images))
    seed = 1
    for filters, strides in ((32, 2), (64, 2), (96, 1)):
        x = _residual_block(x, filters, strides, seed)
        seed += 3
    x = _normalized(x)
    x = keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", name="features", dtype="float32"
    )(x)
    return keras.Model(images, _dense(classes, seed)(x))


def _residual_block(x: Any, filters: int, strides: int, seed: int) -> Any:
    """x + two convolutions of x, each after normalization and ReLU."""
    inner = _normalized(x)
    shortcut = x
    if x.shape[-1] != filters or strides > 1:
        shortcut = _convolution(filters, 1, strides, seed)(inner)
    inner = _normalized(_convolution(filters, 3, strides, seed + 1)(inner))
    inner = _convolution(filters, 3, 1, seed + 2)(inner)
    return keras.layers.Add(dtype="float32")([shortcut, inner])


def _normalized(x: Any) -> Any:
    """ReLU of x, normalized over batches; at inference over those of the training."""
    x = keras.layers.BatchNormalization(axis=-1, momentum=0.98, dtype="float32")(x)
    return keras.layers.ReLU(dtype="float32")(x)


def _convolution(
    filters: int, size: int, strides: int, seed: int, activation: str | None = None
) -> keras.layers.Layer:
    return keras.layers.Conv2D(
        filters,
        size,
        strides,
        padding="same",
        data_format="channels_last",
        activation=activation,
        kernel_initializer=_initial(seed),
        dtype="float32",
    )


def _dense(units: int, seed: int, **options: Any) -> keras.layers.Layer:
    return keras.layers.Dense(units, kernel_initializer=_initial(seed), dtype="float32", **options)


def _initial(seed: int) -> Any:
    return keras.initializers.GlorotUniform(seed)


def _shrunk(images: Any) -> Any:
    """Means over blocks of pixels, so that no side has more than 32; some at edges are smaller."""
    side = -(-max(images.shape[1:3]) // _MAX_SIDE)
    if side == 1:
        return images
    return keras.layers.AveragePooling2D(
        side, padding="same", data_format="channels_last", dtype="float32"
    )(images)
