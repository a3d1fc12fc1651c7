"""Names of folders that TensorFlow cannot take for a pattern."""

import contextlib
import os
from collections.abc import Iterator

from tf_mdsm.errors import InvalidArgument

__all__ = ["plain_name"]

# TensorFlow takes the path of a checkpoint for a pattern, in which these have a meaning.
_PATTERN_CHARACTERS = frozenset("*?[]\\")

# The folder in which Linux lists the open files and folders of this process by number.
_OPEN_FOLDERS = "/proc/self/fd"


@contextlib.contextmanager
def plain_name(folder: str) -> Iterator[str]:
    r"""Yields a name of an existing folder without `*`, `?`, `[`, `]` and `\`, for the block.

    It is the folder's own path where that has none of them. Otherwise the folder is opened, and
    its name is that of an open folder, which holds in this process and in the block only.

    Raises:
        InvalidArgument: about `--workdir`, on systems that do not give open folders a name.
        OSError: if the folder cannot be opened.
    """
    if not _PATTERN_CHARACTERS & set(folder):
        yield folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        name = os.path.join(_OPEN_FOLDERS, str(descriptor))
        if not os.path.isdir(name):
            without = r"have no *, ?, [, ] or \ in its path on this system"
            raise InvalidArgument("--workdir", without, folder)
        yield name
    finally:
        os.close(descriptor)
