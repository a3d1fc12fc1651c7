"""The folder of temporary files, where the system's own cannot be written."""

import pathlib
import tempfile

__all__ = ["use_temporary_folder"]


def use_temporary_folder(folder: str) -> None:
    """Makes Python put temporary files into `folder` if no usual place for them can be written.

    TensorFlow and matplotlib ask for such a place when they are imported. In a container with a
    read-only root file system there is none, though the run's folder can be written.

    Args:
        folder: a folder; where it does not exist yet, the nearest one above it is used.
    """
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        path = pathlib.Path(folder).absolute()
        tempfile.tempdir = str(next(one for one in (path, *path.parents) if one.is_dir()))
