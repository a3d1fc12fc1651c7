"""Pictures made of arrays, and the files that hold them. Knows nothing of models."""

import itertools
import math

import numpy as np
from PIL import Image

from tf_mdsm.system.atomic import atomic_write

__all__ = ["changing_states", "image_grid", "sampling_strip", "to_uint8", "write_gif", "write_png"]

# Small images are enlarged to tiles of about this many pixels.
_TILE = 64


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Pixels in [0, 1], clipped and rounded to 256 levels."""
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images side by side, row by row, with a narrow frame round each.

    Args:
        images: float in [0, 1] (clipped), [N, H, W, C], C = 1 or 3.
        columns: images a row; None: about as many as rows.

    Returns:
        uint8 [height, width, C].
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = max(1, round(_TILE / height))
    tiles = to_uint8(images).repeat(scale, axis=1).repeat(scale, axis=2)
    frame = 2
    cells = np.full(
        (rows * columns, height * scale + frame, width * scale + frame, channels), 128, np.uint8
    )
    cells[:count, frame:, frame:] = tiles
    grid = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    grid = grid.reshape(rows * cells.shape[1], columns * cells.shape[2], channels)
    return np.pad(grid, ((0, frame), (0, frame), (0, 0)), constant_values=128)


def sampling_strip(states: np.ndarray, columns: int = 14) -> np.ndarray:
    """Some chains from noise to image, a row each.

    Args:
        states: float in [0, 1] (clipped), [n, chains, H, W, C]; states that stand still are left
            out, and of the others `columns` are shown at most.

    Returns:
        uint8 [height, width, C].
    """
    states = changing_states(states)
    shown = np.unique(np.linspace(0, len(states) - 1, columns).astype(int))
    rows = states[shown].swapaxes(0, 1)
    return image_grid(rows.reshape(-1, *rows.shape[2:]), columns=len(shown))


def changing_states(states: np.ndarray) -> np.ndarray:
    """The states [n, ...] less those that equal the one before: some chains arrive early."""
    return states[[True, *(not np.array_equal(*pair) for pair in itertools.pairwise(states))]]


def write_png(pixels: np.ndarray, path: str) -> None:
    """Writes a picture, uint8 [H, W, 1 or 3]."""
    with atomic_write(path) as partial:
        _image(pixels).save(partial)


def write_gif(frames: list[np.ndarray], path: str, milliseconds: int = 100) -> None:
    """Writes pictures of one size as an animation that pauses on the last."""
    first, *rest = [_image(frame) for frame in frames]
    durations = [milliseconds] * len(rest) + [10 * milliseconds]
    with atomic_write(path) as partial:
        first.save(partial, save_all=True, append_images=rest, duration=durations, loop=0)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
