"""Initial weights that NumPy makes from a seed, so that they need not be carried along."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["describe_fill", "fill", "fill_all"]

# A few weights that no rule describes are carried as they are; more would be a wrong rule.
_MAX_CARRIED_VALUES = 1_000


def describe_fill(name: str, values: np.ndarray, fan_in: int | None, index: int) -> dict[str, Any]:
    """How to make an array like `values`: one number, or uniform in +-1/sqrt(fan_in).

    Args:
        name: the array's name, for the error.
        values: what the program itself would start with.
        fan_in: number of inputs of the layer; None: not uniform.
        index: a number of the array's own, for its random numbers.

    Raises:
        ValueError: for an array that no rule describes.
    """
    shape, dtype = list(values.shape), str(values.dtype)
    common = {"name": name, "shape": shape, "dtype": dtype}
    if values.size and (values == values.flat[0]).all():
        return {**common, "value": values.flat[0].item()}
    if fan_in is not None and np.abs(values).max() <= 1 / math.sqrt(fan_in):
        return {**common, "limit": 1 / math.sqrt(fan_in), "index": index}
    if values.size <= _MAX_CARRIED_VALUES:
        return {**common, "values": values.ravel().tolist()}
    raise ValueError(f"{name}: no rule for {shape}, up to {np.abs(values).max()}")


def fill(description: Mapping[str, Any], seed: int) -> np.ndarray:
    """The array that `describe_fill` described."""
    shape, dtype = tuple(description["shape"]), np.dtype(description["dtype"])
    if "value" in description:
        return np.full(shape, description["value"], dtype)
    if "values" in description:
        return np.array(description["values"], dtype).reshape(shape)
    generator = np.random.default_rng([seed, description["index"]])
    limit = description["limit"]
    return (limit * (2 * generator.random(shape, np.float32) - 1)).astype(dtype)


def fill_all(descriptions: Sequence[Mapping[str, Any]], seed: int = 0) -> dict[str, np.ndarray]:
    """All arrays of a state by their names; the averaged weights begin as the weights."""
    state = {
        description["name"]: fill(description, seed)
        for description in descriptions
        if "same_as" not in description
    }
    copies = {d["name"]: state[d["same_as"]] for d in descriptions if "same_as" in d}
    return state | copies
