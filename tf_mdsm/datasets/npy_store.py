"""Images in a file, as an array whose parts are read when they are looked at."""

import itertools
from collections.abc import Iterable

import numpy as np

__all__ = ["open_npy", "store"]


def store(parts: Iterable[np.ndarray], path: str) -> None:
    """Writes arrays [n, ...] of one dtype one after the other, as one `.npy` file [N, ...].

    Args:
        parts: at least one; never more than one of them is in memory.
        path: of the file.
    """
    parts = iter(parts)
    first = next(parts)
    with open(path, "wb") as file:
        # Written again at the end: NumPy's header has room for any number of images.
        _write_header(file, first, 0)
        count = 0
        for part in itertools.chain([first], parts):
            file.write(np.ascontiguousarray(part).data)
            count += len(part)
        file.seek(0)
        _write_header(file, first, count)


def _write_header(file, part: np.ndarray, count: int) -> None:
    header = {"descr": part.dtype.str, "fortran_order": False, "shape": (count, *part.shape[1:])}
    np.lib.format.write_array_header_1_0(file, header)


def open_npy(path: str) -> np.memmap:
    """The array, [N, ...], on disk.

    Raises:
        OSError, ValueError: for a file that is not there or holds something else.
    """
    return np.load(path, mmap_mode="r", allow_pickle=False)
