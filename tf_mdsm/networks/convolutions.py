"""Convolutions of the networks, their initial weights and seeds.

Two layers compute a convolution and the resizing before or after it together, which costs less:
`MeanPooledConv2D` (followed by 2x2 means) and `JoinedConv2D` (after repeating pixels).
"""
# pyright: reportArgumentType=false, reportOptionalOperand=false, reportOptionalSubscript=false
# (Keras annotates initializers as str, and keras.ops as returning None)

import itertools
import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

__all__ = [
    "JoinedConv2D",
    "MeanPooledConv2D",
    "convolution",
    "fan_in_uniform",
    "integer_seeds",
]


def integer_seeds(seed: int) -> Iterator[int]:
    """Generates integer seeds without end, all determined by one seed; each weight uses one."""
    generator = np.random.default_rng(seed)
    return (int(generator.integers(2**31 - 1)) for _ in itertools.count())


def fan_in_uniform(fan_in: int, seed: int) -> keras.initializers.Initializer:
    """Initial weights uniform in +-1/sqrt(fan_in): PyTorch's default for convolutions."""
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit, seed=seed)


def _sum_of_four_shifts(kernel: Any) -> Any:
    """Adds up a kernel [n, n, …] shifted by 0 or 1 pixels along each axis: [n + 1, n + 1, …]."""
    for axis in (0, 1):
        after, before = ([(0, 0)] * 4 for _ in range(2))
        after[axis], before[axis] = (0, 1), (1, 0)
        kernel = ops.pad(kernel, after) + ops.pad(kernel, before)
    return kernel


@keras.saving.register_keras_serializable("tf_mdsm")
class MeanPooledConv2D(layers.Conv2D):
    """A convolution followed by 2x2 average pooling, computed as one convolution of stride 2.

    Images [B, H, W, C] to [B, H/2, W/2, filters]. The mean of four neighbouring outputs is one
    output of a kernel that is one pixel larger: 16 products instead of 4 x 9 for a 3x3 kernel. The
    weights are those of the convolution alone. The kernel's size must be odd, its stride 1, its
    padding "same", and H and W even.
    """

    def call(self, images: Any) -> Any:
        """Convolves the images [B, H, W, C] and averages each 2x2 pixels."""
        kernel = ops.cast(_sum_of_four_shifts(self.kernel) / 4, self.compute_dtype)
        pooled = ops.conv(images, kernel, strides=2, padding="same", data_format=self.data_format)
        return pooled + ops.cast(self.bias, self.compute_dtype) if self.use_bias else pooled

    def compute_output_shape(self, shape: tuple) -> tuple:
        """[B, H/2, W/2, filters] for images of shape [B, H, W, C]."""
        batch, height, width, _ = shape
        return batch, height // 2, width // 2, self.filters


@keras.saving.register_keras_serializable("tf_mdsm")
class JoinedConv2D(layers.Conv2D):
    """Upsampling of one image, concatenation with a second, and a convolution, as one layer.

    Images [B, H/2, W/2, C1] and [B, H, W, C2] to [B, H, W, filters]. Upsampling repeats each pixel
    of the first image as 2x2 equal ones. Equal pixels can share one product with the sum of their
    weights, so a 3x3 kernel needs 4 products instead of 9 for each pixel and weight, and no pixel
    is copied. The weights are those of a convolution of C1 + C2 channels. The kernel's size must
    be odd, its stride 1, its padding "same".
    """

    @property
    def input_spec(self) -> None:
        """None, since this layer takes two arrays: Keras' convolution would demand one."""

    @input_spec.setter
    def input_spec(self, spec: Any) -> None:
        """Ignores what Keras' convolution sets."""
        del spec

    def build(self, shapes: Any) -> None:
        """Adds the weights of a convolution of C1 + C2 channels."""
        small, large = shapes
        super().build((*large[:3], small[3] + large[3]))

    def call(self, images: Any) -> Any:
        """Convolves a pair of images [B, H/2, W/2, C1] and [B, H, W, C2]."""
        small, large = images
        small_kernel = self.kernel[:, :, : small.shape[3]]
        large_kernel = ops.cast(self.kernel[:, :, small.shape[3] :], self.compute_dtype)
        # A transposed convolution reads its kernel backwards, with outputs before inputs.
        small_kernel = ops.transpose(
            _sum_of_four_shifts(ops.flip(small_kernel, (0, 1))), (0, 1, 3, 2)
        )
        small_kernel = ops.cast(small_kernel, self.compute_dtype)
        joined = ops.conv_transpose(
            small, small_kernel, strides=2, padding="same", data_format=self.data_format
        )
        joined = joined + ops.conv(
            large, large_kernel, padding="same", data_format=self.data_format
        )
        return joined + ops.cast(self.bias, self.compute_dtype) if self.use_bias else joined

    def compute_output_shape(self, shapes: Any) -> tuple:
        """[B, H, W, filters], from the shapes of both images or of the concatenated ones."""
        # Keras' `build` asks with the one shape that it was given.
        joined = shapes[1] if len(shapes) == 2 else shapes
        return *joined[:3], self.filters


def convolution(
    x: keras.KerasTensor | list[keras.KerasTensor],
    filters: int,
    size: int,
    *,
    seeds: Iterator[int],
    dtype: str,
    name: str,
    use_bias: bool = True,
    layer: type[layers.Conv2D] = layers.Conv2D,
) -> keras.KerasTensor:
    """A convolution with padding "same" and PyTorch's default initial weights.

    Weights and biases are uniform in +-1/sqrt(fan_in). Each convolution uses two seeds, also
    without a bias.

    Args:
        x: symbolic images [B, H, W, C], or a pair of them for `JoinedConv2D`.
        filters: channels of the result.
        size: height and width of the kernel.
        seeds: seeds of the initial weights.
        dtype: a Keras dtype policy.
        name: name of the layer.
        use_bias: whether to add a bias.
        layer: the class of the layer: Conv2D or one of the two above.
    """
    images = x if isinstance(x, list) else [x]
    fan_in = sum(image.shape[-1] for image in images) * size**2
    return layer(
        filters,
        size,
        padding="same",
        data_format="channels_last",
        use_bias=use_bias,
        kernel_initializer=fan_in_uniform(fan_in, next(seeds)),
        bias_initializer=fan_in_uniform(fan_in, next(seeds)),
        dtype=dtype,
        name=name,
    )(x)
