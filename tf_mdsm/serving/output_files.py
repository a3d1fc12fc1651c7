"""Output files of the command-line client: arrays in an `.npz`, or a picture in a `.png`."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.visualization.images import image_grid, write_png

__all__ = ["require_output", "require_picture", "write_answer"]


def require_output(path: str) -> None:
    """Requires that the file can be written, before a server computes its content.

    Raises:
        InvalidArgument: for another ending than `.png` or `.npz`, a folder that does not exist or
            is not writable, and a path that is a folder.
    """
    if not path.lower().endswith((".png", ".npz")):
        raise InvalidArgument("--output", "end in .png (a picture) or .npz (the numbers)", path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK) or os.path.isdir(path):
        raise InvalidArgument("--output", "be a file in a folder that can be written", path)


def require_picture(path: str, image_shape: tuple[int | None, int | None, int]) -> None:
    """Requires another ending than `.png` if the model's "images" are points of the plane.

    Raises:
        InvalidArgument: for a `.png` if images have neither 1 nor 3 channels.
    """
    if path.lower().endswith(".png") and image_shape[-1] not in (1, 3):
        raise InvalidArgument("--output", "end in .npz: points make no picture", path)


def write_answer(path: str, arrays: Mapping[str, Any], picture: np.ndarray) -> None:
    """Writes arrays to an `.npz` file, or a grid of images to a `.png` file, atomically.

    Args:
        path: the file; its ending decides what is written.
        arrays: NumPy arrays by name.
        picture: images float in [0, 1], [N, H, W, C].
    """
    if path.lower().endswith(".npz"):
        # An open file: to a name, NumPy appends .npz unless it ends in small letters.
        with atomic_write(path) as partial, open(partial, "wb") as file:
            np.savez_compressed(file, **arrays)
        return
    write_png(image_grid(picture), path)
