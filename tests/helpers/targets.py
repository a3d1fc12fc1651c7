"""A target that is made of one function."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

__all__ = ["FunctionTarget"]


@dataclasses.dataclass(frozen=True)
class FunctionTarget:
    """What `samplers.base.Target` asks for, with the function given."""

    energy_and_score: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
    image_shape: tuple[int, int, int]
    sigma0: float
