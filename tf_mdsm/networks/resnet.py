"""The paper's network: a ResNet that computes features of images, for a head in `heads.py`.

Source: Li, Chen and Sommer, arXiv 1910.07762, section 4, and the authors' published code. There is
no normalization, activations are ELU, and the initial weights are PyTorch's default
(`convolutions.convolution`). The paper's head is the quadratic one.
"""

from collections.abc import Iterator, Sequence

import keras
from keras import layers

from tf_mdsm.networks.convolutions import MeanPooledConv2D, convolution

__all__ = ["resnet"]


def resnet(
    images: keras.KerasTensor,
    stages: Sequence[int],
    *,
    channels: int,
    seeds: Iterator[int],
    dtype: str,
) -> keras.KerasTensor:
    """Computes features of images: a 3x3 convolution, then stages of residual blocks.

    Args:
        images: symbolic images [B, H, W, C]; H and W are divisible by 2^len(stages).
        stages: one of `architectures.RESNET_STAGES`. For each stage, the number of blocks after
            its first one. The first block halves height and width and doubles the channels; the
            others keep the shape.
        channels: width of the first convolution.
        seeds: seeds of the initial weights.
        dtype: a Keras dtype policy.

    Returns:
        features [B, H/2^n, W/2^n, 2^n channels] with n = len(stages).
    """
    x = convolution(images, channels, 3, seeds=seeds, dtype=dtype, name="stem")
    for stage, extra_blocks in enumerate(stages, start=1):
        for block in range(extra_blocks + 1):
            x = _residual_block(
                x,
                channels * 2**stage,
                downsample=block == 0,
                seeds=seeds,
                dtype=dtype,
                name=f"stage{stage}_block{block}",
            )
    return x


def _residual_block(
    x: keras.KerasTensor,
    filters: int,
    *,
    downsample: bool,
    seeds: Iterator[int],
    dtype: str,
    name: str,
) -> keras.KerasTensor:
    """ELU, 3x3 convolution, ELU, 3x3 convolution, plus a 1x1 convolution as shortcut.

    With `downsample`, 2x2 average pooling halves the height and width of both branches: at the
    end of the residual branch and at the start of the shortcut.
    """
    y = layers.Activation("elu", dtype=dtype, name=f"{name}_elu1")(x)
    if downsample:
        pool = layers.AveragePooling2D(
            2, data_format="channels_last", dtype=dtype, name=f"{name}_shortcut_pool"
        )
        x = pool(x)
    shortcut = convolution(x, filters, 1, seeds=seeds, dtype=dtype, name=f"{name}_shortcut")
    y = convolution(
        y, x.shape[-1], 3, seeds=seeds, dtype=dtype, name=f"{name}_conv1", use_bias=False
    )
    y = layers.Activation("elu", dtype=dtype, name=f"{name}_elu2")(y)
    layer = MeanPooledConv2D if downsample else layers.Conv2D
    y = convolution(y, filters, 3, seeds=seeds, dtype=dtype, name=f"{name}_conv2", layer=layer)
    return layers.Add(dtype=dtype, name=name)([y, shortcut])
