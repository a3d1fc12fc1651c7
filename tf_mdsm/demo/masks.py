"""Masks that a visitor paints: true where an image is known."""

import itertools

import numpy as np

__all__ = ["lower_half_hidden", "mask_overlay", "painted"]

# How what is hidden is shown.
_COLOR = "#ff7a00"


def lower_half_hidden(height: int, width: int) -> np.ndarray:
    """A mask bool [H, W] of which the lower half is not known."""
    mask = np.ones((height, width), bool)
    mask[height // 2 :] = False
    return mask


def painted(
    mask: np.ndarray, x: float, y: float, *, scale: int, brush: int, known: bool
) -> np.ndarray:
    """A mask after one touch of a square brush.

    Args:
        mask: bool [H, W], true where known; it is not changed.
        x: place of the touch in the enlarged picture, from the left.
        y: the same from above. A touch outside changes what the brush reaches.
        scale: side of a pixel in the enlarged picture.
        brush: side of the brush in pixels.
        known: what the touched pixels become.

    Returns:
        bool [H, W].
    """
    result = mask.copy()
    first = [int(place // scale) - (brush - 1) // 2 for place in (y, x)]
    rows, columns = (slice(max(0, start), max(0, start + brush)) for start in first)
    result[rows, columns] = known
    return result


def mask_overlay(mask: np.ndarray, *, scale: int) -> str:
    """SVG rectangles over what is not known, one for each run of pixels in a row."""
    rectangles = []
    for row, values in enumerate(mask):
        column = 0
        for known, run in itertools.groupby(values):
            length = len(list(run))
            if not known:
                rectangles.append(
                    f'<rect x="{column * scale}" y="{row * scale}" width="{length * scale}" '
                    f'height="{scale}" fill="{_COLOR}" fill-opacity="0.75" />'
                )
            column += length
    return "".join(rectangles)
