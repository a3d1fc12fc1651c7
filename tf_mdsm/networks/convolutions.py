"""What the networks' layers are made of: seeds, initial weights, convolutions."""

import itertools
import math
from collections.abc import Iterator

import keras
import numpy as np
from keras import layers, ops

__all__ = [
    "JoinedConv2D",
    "MeanPooledConv2D",
    "convolution",
    "integer_seeds",
    "uniform",
]


def integer_seeds(seed: int) -> Iterator[int]:
    """A different integer seed for every weight, all following from one."""
    generator = np.random.default_rng(seed)
    return (int(generator.integers(2**31 - 1)) for _ in itertools.count())


def uniform(fan_in: int, seed: int) -> keras.initializers.Initializer:
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit, seed=seed)


def _enlarged(kernel):
    """A kernel [n, n, …] at four neighbouring places, added up: [n + 1, n + 1, …]."""
    for axis in (0, 1):
        after, before = ([(0, 0)] * 4 for _ in range(2))
        after[axis], before[axis] = (0, 1), (1, 0)
        kernel = ops.pad(kernel, after) + ops.pad(kernel, before)
    return kernel


@keras.saving.register_keras_serializable("tf_mdsm")
class MeanPooledConv2D(layers.Conv2D):
    """A convolution and the means of its 2x2 pixels, as one.

    Images [B, H, W, C] to [B, H/2, W/2, filters]. The mean of four neighbouring sums is one sum
    with a kernel one pixel larger, at every other pixel: 16 products in place of 4 x 9 for a 3x3
    kernel. Weights are the convolution's own. Its kernel has an odd size and no stride, its
    padding is "same", and the images' sides are even.
    """

    def call(self, images):
        kernel = ops.cast(_enlarged(self.kernel) / 4, self.compute_dtype)
        pooled = ops.conv(images, kernel, strides=2, padding="same")
        return pooled + ops.cast(self.bias, self.compute_dtype) if self.use_bias else pooled

    def compute_output_shape(self, shape):
        batch, height, width, _ = shape
        return batch, height // 2, width // 2, self.filters


@keras.saving.register_keras_serializable("tf_mdsm")
class JoinedConv2D(layers.Conv2D):
    """A convolution of two images, one behind the other, of which the first is half as large and
    each of its pixels stands for 2x2 equal ones.

    Images [B, H/2, W/2, C1] and [B, H, W, C2] to [B, H, W, filters]. Four equal pixels are one
    with the sum of their weights: 4 products in place of 9 for each pixel and weight of a 3x3
    kernel, and nothing is repeated. Weights are a convolution's of C1 + C2 channels. Its kernel has
    an odd size and no stride, its padding is "same".
    """

    @property
    def input_spec(self) -> None:
        """None: Keras' convolution is given one array, and would hold calls to that."""

    @input_spec.setter
    def input_spec(self, spec) -> None:
        del spec

    def build(self, shapes):
        small, large = shapes
        super().build((*large[:3], small[3] + large[3]))

    def call(self, images):
        small, large = images
        of_small = self.kernel[:, :, : small.shape[3]]
        of_large = ops.cast(self.kernel[:, :, small.shape[3] :], self.compute_dtype)
        # A transposed convolution takes its kernel from the other end, outputs before inputs.
        of_small = ops.transpose(_enlarged(ops.flip(of_small, (0, 1))), (0, 1, 3, 2))
        of_small = ops.cast(of_small, self.compute_dtype)
        joined = ops.conv_transpose(small, of_small, strides=2, padding="same")
        joined = joined + ops.conv(large, of_large, padding="same")
        return joined + ops.cast(self.bias, self.compute_dtype) if self.use_bias else joined

    def compute_output_shape(self, shapes):
        # Keras' `build` asks about the one array that it is given.
        joined = shapes[1] if len(shapes) == 2 else shapes
        return *joined[:3], self.filters


def convolution(
    x,
    filters: int,
    size: int,
    seeds: Iterator[int],
    dtype: str,
    name: str,
    use_bias: bool = True,
    layer: type[layers.Conv2D] = layers.Conv2D,
):
    """A convolution at every pixel, of one of the kinds above or a plain one.

    Weights and biases are uniform in +-1/sqrt(fan_in), PyTorch's default.
    """
    images = x if isinstance(x, list) else [x]
    fan_in = sum(image.shape[-1] for image in images) * size**2
    return layer(
        filters,
        size,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=uniform(fan_in, next(seeds)),
        bias_initializer=uniform(fan_in, next(seeds)),
        dtype=dtype,
        name=name,
    )(x)
