"""Energy networks: an image in, one number out. Pure Keras 3, no TensorFlow inside.

The ResNets are the authors' (MDSM, section 4 and its published code): no normalisation, ELU,
PyTorch's default initialisation, weights and biases uniform in +-1/sqrt(fan_in).
"""

import itertools
import math
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import layers, ops

from tf_mdsm.architectures import HEADS, NETWORKS, STAGES
from tf_mdsm.errors import InvalidArgument

__all__ = ["build_network"]


def _downsampling(name: str) -> int:
    """The number by which a network divides height and width."""
    return 2 ** len(STAGES.get(name, ()))


def build_network(
    name: str,
    image_shape: tuple[int, int, int],
    channels: int,
    head: str = "quadratic",
    seed: int = 0,
    precision: str = "float32",
) -> keras.Model:
    """An energy network with freshly drawn weights.

    Args:
        name: one of `architectures.NETWORKS`.
        image_shape: height, width, channels of the images.
        channels: width of the first layer.
        head: one of `architectures.HEADS`.
        seed: the weights follow from it.
        precision: a Keras dtype policy: "float32", "float64", or "mixed_bfloat16", which leaves
            weights, head and energies in float32.

    Returns:
        a functional model from images float [B, H, W, C] to energies [B].

    Raises:
        InvalidArgument: for an unknown name or head, or an image size it cannot halve.
    """
    if name not in NETWORKS:
        raise InvalidArgument("name", f"be one of {', '.join(NETWORKS)}", name)
    if head not in HEADS:
        raise InvalidArgument("head", f"be one of {', '.join(HEADS)}", head)
    factor = _downsampling(name)
    if any(side % factor for side in image_shape[:2]):
        raise InvalidArgument(
            "image_size", f"be divisible by {factor} for network {name}", image_shape[0]
        )
    seeds = _seeds(seed)
    build_body = _dense_body if name == "dense" else _residual_body(STAGES[name])
    outside = "float64" if precision == "float64" else "float32"
    images = keras.Input(image_shape, dtype=outside, name="images")
    features = build_body(images, channels, seeds, precision)
    build_head = {"quadratic": _quadratic_head, "linear": _linear_head}[head]
    features = layers.Flatten(dtype=outside)(features)
    return keras.Model(images, build_head(features, seeds, outside), name=name)


def _seeds(seed: int) -> Iterator[int]:
    """A different integer seed for every weight, all following from one."""
    generator = np.random.default_rng(seed)
    return (int(generator.integers(2**31 - 1)) for _ in itertools.count())


def _uniform(fan_in: int, seed: int) -> keras.initializers.Initializer:
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit, seed=seed)


def _convolution(x, filters: int, size: int, seeds, dtype: str, name: str, use_bias: bool = True):
    fan_in = x.shape[-1] * size**2
    return layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=_uniform(fan_in, next(seeds)),
        bias_initializer=_uniform(fan_in, next(seeds)),
        dtype=dtype,
        name=name,
    )(x)


def _residual_block(x, filters: int, downsample: bool, seeds, dtype: str, name: str):
    """ELU, 3x3 conv, ELU, 3x3 conv, with a 1x1 shortcut; both halved by 2x2 means at the end
    of the residual and at the start of the shortcut when `downsample`."""

    def halve(y, part: str):
        if not downsample:
            return y
        return layers.AveragePooling2D(2, dtype=dtype, name=f"{name}_{part}_pool")(y)

    shortcut = halve(x, "shortcut")
    shortcut = _convolution(shortcut, filters, 1, seeds, dtype, f"{name}_shortcut")
    y = layers.Activation("elu", dtype=dtype, name=f"{name}_elu1")(x)
    y = _convolution(y, x.shape[-1], 3, seeds, dtype, f"{name}_conv1", use_bias=False)
    y = layers.Activation("elu", dtype=dtype, name=f"{name}_elu2")(y)
    y = halve(_convolution(y, filters, 3, seeds, dtype, f"{name}_conv2"), "residual")
    return layers.Add(dtype=dtype, name=name)([y, shortcut])


def _residual_body(stages: tuple[int, ...]) -> Callable:
    def body(images, channels: int, seeds, dtype: str):
        x = _convolution(images, channels, 3, seeds, dtype, "stem")
        for stage, extra_blocks in enumerate(stages, start=1):
            filters = channels * 2**stage
            for block in range(extra_blocks + 1):
                name = f"stage{stage}_block{block}"
                x = _residual_block(x, filters, block == 0, seeds, dtype, name)
        return x

    return body


def _dense_body(images, channels: int, seeds, dtype: str):
    """Three SiLU layers, for points in the plane rather than images.

    The unit square is stretched to +-4 first: at its own size all modes look like one.
    """
    x = layers.Rescaling(8.0, -4.0, dtype=dtype)(layers.Flatten(dtype=dtype)(images))
    for depth in range(1, 4):
        fan_in = x.shape[-1]
        x = layers.Dense(
            channels,
            activation="silu",
            kernel_initializer=_uniform(fan_in, next(seeds)),
            bias_initializer=_uniform(fan_in, next(seeds)),
            dtype=dtype,
            name=f"dense{depth}",
        )(x)
    return x


def _quadratic_head(features, seeds, dtype: str):
    return QuadraticHead([next(seeds) for _ in range(5)], name="energy", dtype=dtype)(features)


def _linear_head(features, seeds, dtype: str):
    activated = layers.Activation("elu", dtype=dtype, name="head_elu")(features)
    return LinearHead([next(seeds)], name="energy", dtype=dtype)(activated)


class _Head(layers.Layer):
    """Features to a scalar, with an additive constant, which shifts all energies alike.

    The constant has no influence on any score, so it is not trained; it is kept because the
    authors' weights hold one.
    """

    def __init__(self, seeds: list[int], **kwargs):
        super().__init__(**kwargs)
        self._seeds = list(seeds)

    def build(self, shape):
        self._unused_seeds = iter(self._seeds)
        self.constant = self.add_weight(
            shape=(1,), initializer="zeros", trainable=False, name="constant"
        )

    def _add_vector(self, name: str, fan_in: int, shape: tuple[int, ...]):
        initializer = _uniform(fan_in, next(self._unused_seeds))
        return self.add_weight(shape=shape, initializer=initializer, name=name)

    def compute_output_shape(self, shape):
        return shape[:1]

    def get_config(self):
        return {**super().get_config(), "seeds": self._seeds}


@keras.saving.register_keras_serializable("tf_mdsm")
class LinearHead(_Head):
    """E = w . h + b: features [B, n] to energies [B]."""

    def build(self, shape):
        super().build(shape)
        size = shape[-1]
        self.kernel = self._add_vector("kernel", size, (size, 1))

    def call(self, features):
        return ops.squeeze(ops.matmul(features, self.kernel), -1) + self.constant


@keras.saving.register_keras_serializable("tf_mdsm")
class QuadraticHead(_Head):
    """E = (w1 . h + b1)(w2 . h + b2) + w3 . (h * h) + b3: features [B, n] to energies [B]."""

    def build(self, shape):
        super().build(shape)
        size = shape[-1]
        self.kernel_1 = self._add_vector("kernel_1", size, (size, 1))
        self.bias_1 = self._add_vector("bias_1", size, (1,))
        self.kernel_2 = self._add_vector("kernel_2", size, (size, 1))
        self.bias_2 = self._add_vector("bias_2", size, (1,))
        self.kernel_square = self._add_vector("kernel_square", size, (size, 1))

    def call(self, features):
        product = (ops.matmul(features, self.kernel_1) + self.bias_1) * (
            ops.matmul(features, self.kernel_2) + self.bias_2
        )
        square = ops.matmul(ops.square(features), self.kernel_square)
        return ops.squeeze(product + square, -1) + self.constant
