"""Inputs of the exported signatures for images of 8 x 8 x 1: images, masks and seeds."""

import numpy as np

SHAPE = (8, 8, 1)


def some_images(count: int, scale: float = 1.0, seed: int = 1) -> np.ndarray:
    return scale * np.random.default_rng(seed).uniform(size=(count, *SHAPE)).astype(np.float32)


def upper_half_known(count: int) -> np.ndarray:
    mask = np.zeros((count, *SHAPE[:2], 1), np.float32)
    mask[:, :4] = 1
    return mask


def int_seeds(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)
