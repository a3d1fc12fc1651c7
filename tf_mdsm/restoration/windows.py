"""Windows around the missing pixels of an image: all that filling them in has to look at."""

from typing import Any

import numpy as np
from scipy import ndimage

__all__ = ["windows_around"]

_Window = tuple[slice, slice]


def windows_around(is_missing: np.ndarray, *, margin: int, multiple: int) -> list[_Window]:
    """Finds rectangles that hold all missing pixels and their surroundings, none twice.

    Args:
        is_missing: true where a pixel is missing, bool [H, W].
        margin: how much of the image around a missing pixel its window holds, in pixels.
        multiple: the windows' first row and column are multiples of this number.

    Returns:
        rows and columns of each window. Windows do not overlap. If they held as many pixels as the
        image, the image is the only window.
    """
    height, width = is_missing.shape
    near = ndimage.maximum_filter(is_missing, 2 * margin + 1, mode="constant", cval=False)
    labels: Any = ndimage.label(near, structure=np.ones((3, 3)))[0]  # type: ignore[index]
    windows = _without_overlap(
        [
            (
                slice(rows.start - rows.start % multiple, rows.stop),
                slice(columns.start - columns.start % multiple, columns.stop),
            )
            for rows, columns in ndimage.find_objects(labels)
        ]
    )
    if sum(_num_pixels(window) for window in windows) >= height * width:
        return [(slice(0, height), slice(0, width))]
    return windows


def _without_overlap(windows: list[_Window]) -> list[_Window]:
    """Replaces windows that overlap by the smallest one that holds them, until none do."""
    apart: list[_Window] = []
    for window in windows:
        while touched := [other for other in apart if _overlap(window, other)]:
            apart = [other for other in apart if other not in touched]
            window = _hull([window, *touched])
        apart.append(window)
    return apart


def _overlap(one: _Window, other: _Window) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _hull(windows: list[_Window]) -> _Window:
    """The smallest window that holds others."""
    rows, columns = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*windows, strict=True)
    )
    return rows, columns


def _num_pixels(window: _Window) -> int:
    rows, columns = window
    return (rows.stop - rows.start) * (columns.stop - columns.start)
