"""Values made of arrays and numbers: compared by content, and checked where they are made."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["Value", "float_array", "number", "pixel_array", "whole_number"]


class Value:
    """Base class of frozen dataclasses with arrays: equal if they have equal type and content.

    So a value can be a key of a dictionary. Its arrays are read-only. The subclasses are made
    with `@dataclass(frozen=True, eq=False)`, which keeps this comparison.
    """

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Value) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[Any, ...]:
        """Type and fields in a form that can be hashed."""
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        return (type(self), *(_hashable(getattr(self, field.name)) for field in fields))

    def _set(self, **fields: object) -> None:
        """Sets fields of a frozen dataclass while it is made."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def _hashable(value: object) -> Hashable:
    """What a field is compared by; of an object that has no hash, only its identity."""
    if isinstance(value, np.ndarray):
        return value.shape, value.tobytes()
    return value if isinstance(value, Hashable) else id(value)


def float_array(name: str, values: object, requirement: str) -> np.ndarray:
    """An array of finite numbers as a read-only copy in float32.

    Args:
        name: name of the argument, for the message.
        values: an array, list or tensor of numbers.
        requirement: what the array must be, for the message.

    Raises:
        InvalidArgument: if the values are not numbers, or not finite.
    """
    try:
        with np.errstate(over="ignore"):  # Too large for float32: infinite, and refused below.
            array = np.array(values, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(name, requirement, values) from error
    if not np.isfinite(array).all():
        raise InvalidArgument(name, requirement, values)
    array.setflags(write=False)
    return array


def pixel_array(name: str, values: object, requirement: str) -> np.ndarray:
    """Pixels in [0, 1], as `float_array`; uint8 is divided by 255."""
    pixels = float_array(name, values, requirement)
    if np.asarray(values).dtype == np.uint8:
        pixels = pixels / np.float32(255)
        pixels.setflags(write=False)
    return pixels


def number(name: str, value: Any, requirement: str, is_valid: Callable[[float], bool]) -> Any:
    """A finite number that meets a requirement, as it was given.

    Raises:
        InvalidArgument: if it is none.
    """
    is_number = isinstance(value, numbers.Real) and math.isfinite(value)
    if not (is_number and is_valid(float(value))):
        raise InvalidArgument(name, requirement, value)
    return value


def whole_number(name: str, value: Any, least: int = 1) -> int:
    """A whole number of at least `least`, as an int.

    Raises:
        InvalidArgument: if it is none.
    """
    if not isinstance(value, numbers.Integral) or value < least:
        raise InvalidArgument(name, f"be a whole number of at least {least}", value)
    return int(value)
