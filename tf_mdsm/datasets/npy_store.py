"""Arrays in `.npy` files: written in parts, and read from disk only where they are indexed."""

import itertools
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

__all__ = ["open_npy", "write_npy"]


def write_npy(parts: Iterable[np.ndarray], path: str) -> None:
    """Concatenates arrays [n, ...] of one dtype and shape into one `.npy` file [N, ...].

    Args:
        parts: at least one array. Only one at a time is in memory.
        path: the file to write.
    """
    parts = iter(parts)
    first = next(parts)
    with open(path, "wb") as file:
        # The number of images is known at the end only. NumPy pads the header, so that the
        # second header, with the right number, has the same length.
        _write_header(file, first, count=0)
        count = 0
        for part in itertools.chain([first], parts):
            file.write(np.ascontiguousarray(part).data)
            count += len(part)
        file.seek(0)
        _write_header(file, first, count)


def open_npy(path: str) -> np.memmap:
    """Opens a `.npy` file as an array [N, ...] that stays on disk until it is indexed.

    Raises:
        OSError, ValueError: if the file does not exist or is not a `.npy` file.
    """
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _write_header(file: BinaryIO, part: np.ndarray, count: int) -> None:
    header = {"descr": part.dtype.str, "fortran_order": False, "shape": (count, *part.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)
