"""A U-Net that guesses the clean image behind a noisy one; `heads.py` computes the energy from it.

It is not in the paper. After equal training time its samples are closer to the data than those of
the paper's ResNet (docs/results/ablation.md).
"""

from collections.abc import Iterator

import keras
from keras import layers

from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.convolutions import JoinedConv2D, convolution
from tf_mdsm.networks.free_size import CropLike, MirrorPadding
from tf_mdsm.networks.layers import NoiseScaling, SiLU, from_patches, to_patches

__all__ = ["unet"]


def unet(
    images: keras.KerasTensor,
    structure: UNetStructure,
    *,
    channels: int,
    seeds: Iterator[int],
    dtype: str,
    num_guesses: int = 1,
) -> keras.KerasTensor:
    """Guesses the clean images behind noisy ones: [B, H, W, C] to [B, H, W, num_guesses C].

    Residual blocks at several resolutions: on the way down 2x2 means halve the images, on the way
    up pixels are repeated and joined with the images that the way down had at that resolution.
    Activations are SiLU, whose derivatives are smooth, because training needs second derivatives.
    There is no normalization. The network is not given the noise level: it estimates the noise
    implicitly, or explicitly with `structure.scale_input`.

    With images of any size, [B, None, None, C], it mirrors their right and lower border up to sides
    that `structure.downsampling_factor` divides, and crops the guesses (`free_size`). The noise
    that it estimates for the scaling is that of the image alone. There is no attention then, as
    it depends on the size.

    Args:
        images: symbolic images; `structure.downsampling_factor` divides their sides, or both sides
            are None.
        structure: patches, resolutions, blocks, attention, input scaling.
        channels: channels at the first resolution; `structure.channel_multipliers` give the others.
        seeds: seeds of the initial weights.
        dtype: a Keras dtype policy.
        num_guesses: number of images that the network computes from each image.
    """

    is_free = None in images.shape[1:3]

    # x is an image, or on the way up a pair of images that the first block joins.
    def blocks(x, level: int, name: str, count: int = structure.num_blocks):
        filters = channels * structure.channel_multipliers[level]
        for number in range(count):
            block_name = f"{name}_block{number}"
            x = _residual_block(x, filters, seeds, dtype, block_name)
            if not is_free and x.shape[1] <= structure.attention_size:
                x = _self_attention(x, seeds, dtype, f"{block_name}_attention")
        return x

    # Input.
    x = NoiseScaling(dtype=images.dtype, name="scaled")(images) if structure.scale_input else images
    if is_free:
        multiple, reach = structure.downsampling_factor, structure.reach
        x = MirrorPadding(multiple, reach, dtype=images.dtype, name="mirrored")(x)
    x = to_patches(x, structure.patch_size, dtype, "patches")
    x = convolution(x, channels, 3, seeds=seeds, dtype=dtype, name="stem")

    # Down, keeping the images of each resolution for the way up.
    last = structure.num_resolutions - 1
    kept = []
    for level in range(last):
        x = blocks(x, level, f"down{level}")
        kept.append(x)
        pool = layers.AveragePooling2D(
            2, data_format="channels_last", dtype=dtype, name=f"pool{level + 1}"
        )
        x = pool(x)
    x = blocks(x, last, f"down{last}")
    x = blocks(x, last, "middle", count=1)

    # Up.
    for level in reversed(range(last)):
        x = blocks([x, kept.pop()], level, f"up{level}")

    # Output.
    x = SiLU(dtype=dtype, name="last_silu")(x)
    patch_channels = structure.patch_size**2 * num_guesses * images.shape[-1]
    x = convolution(x, patch_channels, 3, seeds=seeds, dtype=dtype, name="last_conv")
    x = from_patches(x, structure.patch_size, dtype, "denoised")
    return CropLike(dtype=dtype, name="cropped")([images, x]) if is_free else x


def _residual_block(
    x: keras.KerasTensor | list[keras.KerasTensor],
    filters: int,
    seeds: Iterator[int],
    dtype: str,
    name: str,
) -> keras.KerasTensor:
    """SiLU, 3x3 convolution, SiLU, 3x3 convolution, plus a shortcut.

    The shortcut is a 1x1 convolution where the number of channels changes. Given a pair of images,
    the first half as large, the block joins them (`JoinedConv2D`).
    """
    silu = SiLU(dtype=dtype, name=f"{name}_silu1")
    is_pair = isinstance(x, list)
    layer = JoinedConv2D if is_pair else layers.Conv2D
    y = [silu(image) for image in x] if is_pair else silu(x)
    y = convolution(y, filters, 3, seeds=seeds, dtype=dtype, name=f"{name}_conv1", layer=layer)
    y = SiLU(dtype=dtype, name=f"{name}_silu2")(y)
    y = convolution(y, filters, 3, seeds=seeds, dtype=dtype, name=f"{name}_conv2")
    if is_pair or x.shape[-1] != filters:
        shortcut = f"{name}_shortcut"
        x = convolution(x, filters, 1, seeds=seeds, dtype=dtype, name=shortcut, layer=layer)
    return layers.Add(dtype=dtype, name=name)([x, y])


def _self_attention(
    x: keras.KerasTensor, seeds: Iterator[int], dtype: str, name: str
) -> keras.KerasTensor:
    """Self-attention over all pixels with one attention head: x + softmax(q k^T / sqrt(C)) v."""
    height, width, channels = x.shape[1:]

    def pixels(part: str) -> keras.KerasTensor:
        y = convolution(x, channels, 1, seeds=seeds, dtype=dtype, name=f"{name}_{part}")
        return layers.Reshape((height * width, channels), dtype=dtype, name=f"{name}_{part}s")(y)

    query = layers.Rescaling(channels**-0.5, dtype=dtype, name=f"{name}_scale")(pixels("query"))
    # The order that Keras expects: query, value, key.
    inputs = [query, pixels("value"), pixels("key")]
    y = layers.Attention(dtype=dtype, name=f"{name}_mean")(inputs)
    y = layers.Reshape((height, width, channels), dtype=dtype, name=f"{name}_image")(y)
    y = convolution(y, channels, 1, seeds=seeds, dtype=dtype, name=f"{name}_output")
    return layers.Add(dtype=dtype, name=name)([x, y])
