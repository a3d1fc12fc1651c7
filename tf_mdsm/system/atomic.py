"""Atomic writes: a file or folder appears complete under its name, or not at all.

This holds after a kill and after a loss of power: the content is on the disk before the name is.
"""

import contextlib
import errno
import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

__all__ = ["atomic_folder", "atomic_write", "sync", "write_json", "write_text"]

# Beginning of the names of temporary folders, and the age at which they are removed.
_TEMPORARY_FOLDER, _MAX_AGE_SECONDS = ".partial-folder-", 86_400


@contextlib.contextmanager
def atomic_write(path: str) -> Iterator[str]:
    """Yields the path of a temporary file, which is renamed to `path` when the block succeeds.

    The temporary file is in the same folder and has the same ending, since many writers choose
    the format by it. After an error it is removed, and an earlier file at `path` is unchanged.

    Args:
        path: the file to write; missing folders above it are created.

    Raises:
        OSError: if the folder or the file cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    partial = os.path.join(folder, f".partial-{name}")
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(folder)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(partial)


def write_text(text: str, path: str) -> None:
    """Writes a text file in UTF-8; it appears complete, or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(content: Any, path: str) -> None:
    """Writes a JSON file; it appears complete, or not at all.

    Raises:
        OSError: if it cannot be written.
        TypeError: if JSON has no such value.
    """
    write_text(json.dumps(content, indent=2) + "\n", path)


@contextlib.contextmanager
def atomic_folder(path: str) -> Iterator[str]:
    """Yields the path of a temporary folder, which is renamed to `path` when the block succeeds.

    Several processes may write the same `path`: each has a folder of its own, and the first one
    that is ready gets the name. A temporary folder that a killed process left is removed by the
    next call after a day.

    Args:
        path: the folder to write; missing folders above it are created.

    Raises:
        OSError: if something exists at `path` at the end of the block, or nothing can be written.
    """
    parent, name = os.path.split(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    _remove_leftovers(parent)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY_FOLDER, dir=parent) as private:
        # `private` is readable by its owner only; a folder inside it has the usual access rights.
        partial = os.path.join(private, name)
        os.mkdir(partial)
        yield partial
        os.sync()  # All files at once: one after the other, ten thousand pictures take a minute.
        os.rename(partial, path)
    sync(parent)


def sync(path: str) -> None:
    """Waits until a file's content, or the names in a folder, are on the disk.

    Does nothing on a file system that cannot wait, as some network file systems cannot for folders.

    Raises:
        OSError: if the file does not exist, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _remove_leftovers(parent: str) -> None:
    """Removes temporary folders that killed processes left in a folder more than a day ago."""
    for leftover in glob.glob(os.path.join(glob.escape(parent), f"{_TEMPORARY_FOLDER}*")):
        if os.path.getmtime(leftover) < time.time() - _MAX_AGE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
