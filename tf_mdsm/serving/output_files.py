"""Files that the client writes: answers as arrays, or as a picture."""

import os

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.visualization.images import image_grid, write_png

__all__ = ["require_output", "require_picture", "write_answer"]


def require_output(path: str) -> None:
    """Refuses a file that cannot be written, before a server works for it."""
    if not path.lower().endswith((".png", ".npz")):
        raise InvalidArgument("--output", "end in .png (a picture) or .npz (the numbers)", path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK) or os.path.isdir(path):
        raise InvalidArgument("--output", "be a file in a folder that can be written", path)


def require_picture(path: str, image_shape: tuple[int, int, int]) -> None:
    """Refuses a `.png` where the model's "images" are points of the plane."""
    if path.lower().endswith(".png") and image_shape[-1] not in (1, 3):
        raise InvalidArgument("--output", "end in .npz: points make no picture", path)


def write_answer(path: str, arrays: dict[str, np.ndarray], shown: np.ndarray) -> None:
    """Writes all arrays to an `.npz`, or a grid of `shown` [N, H, W, C] in [0, 1] to a `.png`."""
    if path.lower().endswith(".npz"):
        with atomic_write(path) as partial:
            np.savez_compressed(partial, **arrays)
        return
    write_png(image_grid(shown), path)
