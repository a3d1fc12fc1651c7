"""A U-Net that guesses the clean image behind a noisy one. Pure Keras 3."""

from collections.abc import Iterator

import keras
from keras import layers

from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.convolutions import JoinedConv2D, convolution
from tf_mdsm.networks.layers import SiLU
from tf_mdsm.networks.noise_scaling import NoiseScaling
from tf_mdsm.networks.patches import from_patches, to_patches

__all__ = ["unet"]


def unet(
    images: keras.KerasTensor,
    structure: UNetStructure,
    channels: int,
    seeds: Iterator[int],
    dtype: str,
    num_guesses: int = 1,
) -> keras.KerasTensor:
    """Images [B, H, W, C] to guesses of the same size, [B, H, W, num_guesses * C].

    Residual blocks at several resolutions, down by 2x2 means and up by repetition, each way up
    with what the way down had there. Activations are SiLU, whose derivatives are smooth: training
    takes second ones. No noise level is told and nothing is normalised: the network sees how noisy
    an image is by itself, or by `noise_variance` where `structure.scale_input` says so.

    Args:
        images: symbolic input, its sides divisible by `structure.downsampling`.
        structure: resolutions, blocks, attention.
        channels: at the first resolution; `structure.widths` times as many further down.
        seeds: of the weights.
        dtype: a Keras dtype policy.
        num_guesses: images that are made of each.
    """

    def blocks(x, level: int, name: str, count: int = structure.num_blocks):
        for number in range(count):
            block_name = f"{name}_block{number}"
            x = _block(x, channels * structure.widths[level], seeds, dtype, block_name)
            if x.shape[1] <= structure.attention_size:
                x = _attend(x, seeds, dtype, f"{block_name}_attention")
        return x

    last = structure.num_resolutions - 1
    x = NoiseScaling(dtype=images.dtype, name="scaled")(images) if structure.scale_input else images
    x = to_patches(x, structure.patch_size, dtype, "patches")
    x = convolution(x, channels, 3, seeds, dtype, "stem")
    kept = []
    for level in range(last):
        x = blocks(x, level, f"down{level}")
        kept.append(x)
        x = layers.AveragePooling2D(2, dtype=dtype, name=f"pool{level + 1}")(x)
    x = blocks(x, last, f"down{last}")
    x = blocks(x, last, "middle", count=1)
    for level in reversed(range(last)):
        x = blocks([x, kept.pop()], level, f"up{level}")
    x = SiLU(dtype=dtype, name="last_silu")(x)
    patch_channels = structure.patch_size**2 * num_guesses * images.shape[-1]
    x = convolution(x, patch_channels, 3, seeds, dtype, "last_conv")
    return from_patches(x, structure.patch_size, dtype, "denoised")


def _block(x, filters: int, seeds: Iterator[int], dtype: str, name: str):
    """SiLU, 3x3 conv, SiLU, 3x3 conv, with a 1x1 shortcut where the number of channels changes.

    Of a pair of images the first is half as large; they go on as one.
    """
    silu = SiLU(dtype=dtype, name=f"{name}_silu1")
    is_pair = isinstance(x, list)
    layer = JoinedConv2D if is_pair else layers.Conv2D
    y = [silu(image) for image in x] if is_pair else silu(x)
    y = convolution(y, filters, 3, seeds, dtype, f"{name}_conv1", layer=layer)
    y = SiLU(dtype=dtype, name=f"{name}_silu2")(y)
    y = convolution(y, filters, 3, seeds, dtype, f"{name}_conv2")
    if is_pair or x.shape[-1] != filters:
        x = convolution(x, filters, 1, seeds, dtype, f"{name}_shortcut", layer=layer)
    return layers.Add(dtype=dtype, name=name)([x, y])


def _attend(x, seeds: Iterator[int], dtype: str, name: str):
    """Self-attention of one head, softmax(q k^T / sqrt(C)) v over all pixels, added to x."""
    height, width, channels = x.shape[1:]

    def pixels(part: str):
        y = convolution(x, channels, 1, seeds, dtype, f"{name}_{part}")
        return layers.Reshape((height * width, channels), dtype=dtype, name=f"{name}_{part}s")(y)

    query = layers.Rescaling(channels**-0.5, dtype=dtype, name=f"{name}_scale")(pixels("query"))
    # Keras' order: query, value, key.
    inputs = [query, pixels("value"), pixels("key")]
    y = layers.Attention(dtype=dtype, name=f"{name}_mean")(inputs)
    y = layers.Reshape((height, width, channels), dtype=dtype, name=f"{name}_image")(y)
    y = convolution(y, channels, 1, seeds, dtype, f"{name}_output")
    return layers.Add(dtype=dtype, name=name)([x, y])
