"""Images of different sizes in one flat file, read from disk only where they are indexed."""

import os
from collections.abc import Iterable, Iterator

import numpy as np

from tf_mdsm.datasets.npy_store import open_npy, write_npy

__all__ = ["open_images", "write_images"]

# All values of all images, one image after the other; and of each image its number, the place of
# its first value, height, width and channels.
_VALUES, _TABLE = "values.npy", "table.npy"
_COLUMNS = 5


def write_images(images: Iterable[tuple[int, np.ndarray]], folder: str) -> None:
    """Writes images into a folder, where `open_images` finds them.

    Args:
        images: at least one, each with a number by which the caller knows it: arrays [H, W, C] of
            one dtype. Only one at a time is in memory.
        folder: an existing folder.
    """
    table = []

    def values() -> Iterator[np.ndarray]:
        first = 0
        for number, image in images:
            table.append((number, first, *image.shape))
            first += image.size
            yield image.reshape(-1)

    write_npy(values(), os.path.join(folder, _VALUES))
    np.save(os.path.join(folder, _TABLE), np.array(table, np.int64))


def open_images(folder: str) -> tuple[list[int], list[np.ndarray]]:
    """Opens the images that `write_images` wrote; they stay on disk until they are indexed.

    Returns:
        the numbers of the images, and the images [H, W, C].

    Raises:
        OSError, ValueError: if the files are missing or are others.
    """
    # Views of `np.memmap` would take several times the memory of plain ones.
    values = open_npy(os.path.join(folder, _VALUES)).view(np.ndarray)
    table = np.load(os.path.join(folder, _TABLE), allow_pickle=False)
    if table.ndim != 2 or table.shape[1] != _COLUMNS:
        raise ValueError(f"{folder} holds no table of images")
    lengths = table[:, 2:].prod(axis=1)
    if not np.array_equal(table[:, 1] + lengths, lengths.cumsum()) or lengths.sum() != values.size:
        raise ValueError(f"{folder} holds other images than its table says")
    images = [
        values[first : first + height * width * channels].reshape(height, width, channels)
        for first, height, width, channels in table[:, 1:].tolist()
    ]
    return table[:, 0].tolist(), images
