"""What the networks' layers are made of: seeds, initial weights, convolutions."""

import itertools
import math
from collections.abc import Iterator

import keras
import numpy as np
from keras import layers

__all__ = ["convolution", "integer_seeds", "uniform"]


def integer_seeds(seed: int) -> Iterator[int]:
    """A different integer seed for every weight, all following from one."""
    generator = np.random.default_rng(seed)
    return (int(generator.integers(2**31 - 1)) for _ in itertools.count())


def uniform(fan_in: int, seed: int) -> keras.initializers.Initializer:
    limit = 1.0 / math.sqrt(fan_in)
    return keras.initializers.RandomUniform(-limit, limit, seed=seed)


def convolution(x, filters: int, size: int, seeds, dtype: str, name: str, use_bias: bool = True):
    fan_in = x.shape[-1] * size**2
    return layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=use_bias,
        kernel_initializer=uniform(fan_in, next(seeds)),
        bias_initializer=uniform(fan_in, next(seeds)),
        dtype=dtype,
        name=name,
    )(x)
