"""A function of arrays, applied to some rows at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["batchwise"]


def batchwise(function: Callable[..., Any], *arrays: np.ndarray, batch_size: int) -> np.ndarray:
    """Applies a function to all rows of some arrays, batch by batch, and joins the results.

    Besides the arrays and the results, the memory holds one batch.

    Args:
        function: one batch of each array, [b, ...], to an array or a tensor, [b, ...].
        *arrays: equally many rows each, [N, ...], N > 0.
        batch_size: rows of a batch; the last batch may be smaller.

    Returns:
        the results of all batches in one array, [N, ...].

    Raises:
        InvalidArgument: for arrays without rows.
    """
    count = len(arrays[0])
    if not count:
        raise InvalidArgument("arrays", "hold at least one row", "none")
    results = np.empty(0)
    for first in range(0, count, batch_size):
        rows = slice(first, first + batch_size)
        batch = np.asarray(function(*(array[rows] for array in arrays)))
        if not first:
            results = np.empty((count, *batch.shape[1:]), batch.dtype)
        results[rows] = batch
    return results
