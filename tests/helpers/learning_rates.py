"""The learning rates of an optimizer over a run."""

from collections.abc import Iterable

import keras
import numpy as np


def rates(optimizer: keras.optimizers.Optimizer, steps: Iterable[int]) -> np.ndarray:
    """The optimizer's learning rate at each of some steps."""
    values = []
    for step in steps:
        optimizer.iterations.assign(step)
        values.append(float(optimizer.learning_rate))
    return np.array(values)
