"""A few numbers that identify large arrays: their norms, and products with random directions."""

import zlib
from collections.abc import Mapping

import numpy as np

__all__ = ["projections"]


def projections(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The norm of each array and its products with three random directions, float64 [4].

    Divided by the array's norm, an error of the products is about the relative error of the array.
    """
    return {name: _numbers(name, array) for name, array in arrays.items()}


def _numbers(name: str, array: np.ndarray) -> np.ndarray:
    flat = np.asarray(array, np.float64).ravel()
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    products = [flat @ generator.standard_normal(flat.size) for _ in range(3)]
    return np.array([np.linalg.norm(flat), *products])
