"""Files that are whole or not there."""

import contextlib
import os
import shutil
from collections.abc import Iterator

__all__ = ["folder_written_whole", "written_whole"]


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[str]:
    """Yields a temporary name beside `path`, which takes its place when the block succeeds.

    The temporary name keeps the ending, as many writers go by it. After an error, whatever
    was at `path` is still there, and the temporary file is not.
    """
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    partial = os.path.join(folder, f".partial-{name}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)


@contextlib.contextmanager
def folder_written_whole(path: str) -> Iterator[str]:
    """Yields a new folder beside `path`, which takes that name when the block succeeds.

    Raises:
        OSError: if there is something at `path` by then.
    """
    parent, name = os.path.split(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    partial = os.path.join(parent, f".partial-{name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        os.mkdir(partial)
        yield partial
        os.rename(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
