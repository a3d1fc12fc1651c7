"""Targets of images of any size, for images of one size: samplers need to know it."""

import dataclasses
import numbers
import operator
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.samplers.base import Target
from tf_mdsm.samplers.guided import GuidedTarget

__all__ = ["SizedTarget", "sized"]


@dataclasses.dataclass(frozen=True)
class SizedTarget:
    """A target of images of any size, for images of one size.

    Attributes:
        target: the target, whose `image_shape` is (None, None, channels).
        image_shape: height, width, channels.
    """

    target: Target
    image_shape: tuple[int, int, int]

    @property
    def sigma0(self) -> float:
        """As the target's."""
        return self.target.sigma0

    @property
    def noise(self) -> NoiseLevels | None:
        """The noise levels that the target was trained for, if it has them."""
        return getattr(self.target, "noise", None)

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As the target's."""
        return self.target.energy_and_score(images)


def _sides(image_size: Any) -> tuple[int, int]:
    """Height and width from two whole numbers, or from one for both."""
    sides = (image_size, image_size) if isinstance(image_size, numbers.Integral) else image_size
    try:
        height, width = map(operator.index, sides)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        requirement = "be a whole number of at least 1, or two of them, height and width"
        raise InvalidArgument("image_size", requirement, image_size)
    return height, width


def sized(target: Target, image_size: int | Sequence[int] | None) -> Target:
    """A target for images of one size: itself, if it has this size already.

    Of a `GuidedTarget` both energies get the size.

    Args:
        target: what is sampled.
        image_size: height and width, or one number for both. None: the target's own.

    Raises:
        InvalidArgument: for a target of another size; without a size for a target of any size.
    """
    shape: Sequence[int | None] = target.image_shape
    is_free = None in shape[:2]
    if image_size is None:
        if is_free:
            requirement = "be given (height and width), as the target takes images of any size"
            raise InvalidArgument("image_size", requirement, image_size)
        return target
    height, width = _sides(image_size)
    if is_free and isinstance(target, GuidedTarget):
        parts = (sized(part, image_size) for part in (target.target, target.guide))
        return GuidedTarget(*parts, weight=target.weight)
    if is_free:
        return SizedTarget(target, (height, width, target.image_shape[2]))
    if (height, width) != tuple(shape[:2]):
        requirement = f"be {shape[0]} x {shape[1]}, the size of the target's images"
        raise InvalidArgument("image_size", requirement, f"{height} x {width}")
    return target
