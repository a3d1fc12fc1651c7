"""Grids and strips of images, and PNG and GIF files."""

import itertools
import math

import numpy as np
from PIL import Image

from tf_mdsm.system.atomic import atomic_write

__all__ = ["changing_states", "image_grid", "sampling_strip", "to_uint8", "write_gif", "write_png"]

# Images with a height below this number of pixels are enlarged to about this height.
_TILE_HEIGHT = 64
# Width in pixels, and gray level, of the lines between the images of a grid.
_FRAME_WIDTH, _FRAME_LEVEL = 2, 128


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Converts pixels in [0, 1], which are clipped, to uint8 levels 0 … 255, rounded."""
    return np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)


def image_grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Arranges images in a grid, row by row, with a narrow frame around each image.

    Args:
        images: float in [0, 1] (clipped), [N, H, W, C], C = 1 or 3.
        columns: number of images per row; None: about as many columns as rows.

    Returns:
        uint8 [height, width, C].
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    scale = max(1, round(_TILE_HEIGHT / height))
    tiles = to_uint8(images).repeat(scale, axis=1).repeat(scale, axis=2)
    # A cell is a tile with a frame above and to the left of it.
    frame = _FRAME_WIDTH
    cell_height, cell_width = height * scale + frame, width * scale + frame
    cells = np.full((rows * columns, cell_height, cell_width, channels), _FRAME_LEVEL, np.uint8)
    cells[:count, frame:, frame:] = tiles
    grid = cells.reshape(rows, columns, cell_height, cell_width, channels).swapaxes(1, 2)
    grid = grid.reshape(rows * cell_height, columns * cell_width, channels)
    return np.pad(grid, ((0, frame), (0, frame), (0, 0)), constant_values=_FRAME_LEVEL)


def sampling_strip(states: np.ndarray, columns: int = 14) -> np.ndarray:
    """Arranges states of sampling from noise to image, one row for each image.

    Args:
        states: float in [0, 1] (clipped), [n, B, H, W, C]. States that equal the previous one are
            left out.
        columns: number of states to show, at most; they are evenly spaced.

    Returns:
        uint8 [height, width, C].
    """
    states = changing_states(states)
    indices = np.unique(np.linspace(0, len(states) - 1, columns).astype(int))
    rows = states[indices].swapaxes(0, 1)
    return image_grid(rows.reshape(-1, *rows.shape[2:]), columns=len(indices))


def changing_states(states: np.ndarray) -> np.ndarray:
    """The states [n, ...] without those that equal the previous state.

    A sampler that stops early repeats its last state.
    """
    is_new = [not np.array_equal(previous, state) for previous, state in itertools.pairwise(states)]
    return states[[True, *is_new]]


def write_png(pixels: np.ndarray, path: str) -> None:
    """Writes a picture, uint8 [H, W, 1] or [H, W, 3], to a PNG file, atomically."""
    with atomic_write(path) as partial:
        _to_pillow(pixels).save(partial)


def write_gif(frames: list[np.ndarray], path: str, milliseconds: int = 100) -> None:
    """Writes pictures as an animated GIF file, atomically; it pauses on the last picture.

    Args:
        frames: uint8 [H, W, 1] or [H, W, 3], all of one size.
        path: the file.
        milliseconds: duration of a picture; the last one is shown ten times as long.
    """
    first, *others = [_to_pillow(frame) for frame in frames]
    durations = [milliseconds] * len(others) + [10 * milliseconds]
    with atomic_write(path) as partial:
        first.save(partial, save_all=True, append_images=others, duration=durations, loop=0)


def _to_pillow(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
