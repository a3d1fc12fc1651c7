"""A U-Net that guesses the clean image behind a noisy one. Pure Keras 3."""

from collections.abc import Iterator

import keras
from keras import layers

from tf_mdsm.architectures import UNET_WIDTHS
from tf_mdsm.convolutions import convolution

__all__ = ["unet"]


def unet(
    images: keras.KerasTensor, channels: int, seeds: Iterator[int], dtype: str
) -> keras.KerasTensor:
    """Images [B, H, W, C] to images of the same size.

    Residual blocks at four resolutions, down by 2x2 means and up by repetition, each way up with
    what the way down had there. Activations are SiLU, whose derivatives are smooth: training
    takes second ones. No noise level is told, no normalisation: the network sees how noisy an
    image is by itself.

    Args:
        images: symbolic input.
        channels: at full resolution; `architectures.UNET_WIDTHS` times as many further down.
        seeds: of the weights.
        dtype: a Keras dtype policy.
    """
    x = convolution(images, channels, 3, seeds, dtype, "stem")
    kept = []
    for level, width in enumerate(UNET_WIDTHS):
        if level:
            x = layers.AveragePooling2D(2, dtype=dtype, name=f"pool{level}")(x)
        x = _block(x, channels * width, seeds, dtype, f"down{level}")
        kept.append(x)
    x = _block(kept.pop(), channels * UNET_WIDTHS[-1], seeds, dtype, "middle")
    for level in reversed(range(len(kept))):
        x = layers.UpSampling2D(2, dtype=dtype, name=f"repeat{level}")(x)
        x = layers.Concatenate(dtype=dtype, name=f"join{level}")([x, kept.pop()])
        x = _block(x, channels * UNET_WIDTHS[level], seeds, dtype, f"up{level}")
    x = layers.Activation("silu", dtype=dtype, name="last_silu")(x)
    return convolution(x, images.shape[-1], 3, seeds, dtype, "denoised")


def _block(x, filters: int, seeds: Iterator[int], dtype: str, name: str):
    """SiLU, 3x3 conv, SiLU, 3x3 conv, with a 1x1 shortcut."""
    y = layers.Activation("silu", dtype=dtype, name=f"{name}_silu1")(x)
    y = convolution(y, filters, 3, seeds, dtype, f"{name}_conv1")
    y = layers.Activation("silu", dtype=dtype, name=f"{name}_silu2")(y)
    y = convolution(y, filters, 3, seeds, dtype, f"{name}_conv2")
    if x.shape[-1] != filters:
        x = convolution(x, filters, 1, seeds, dtype, f"{name}_shortcut")
    return layers.Add(dtype=dtype, name=name)([x, y])
