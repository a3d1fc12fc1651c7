"""Atomic writes: a file or folder appears complete under its name, or not at all.

This holds after a kill and after a loss of power: the content is on the disk before the name is.
"""

import contextlib
import errno
import functools
import glob
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from typing import Any

__all__ = [
    "atomic_folder",
    "atomic_write",
    "sync",
    "temporary_path",
    "write_json",
    "write_text",
]

# Beginning of the names of temporary files and folders, and the age at which they are removed.
_TEMPORARY, _MAX_AGE_SECONDS = ".partial-", 86_400


@contextlib.contextmanager
def atomic_write(path: str) -> Iterator[str]:
    """Yields the path of a temporary file, which is renamed to `path` when the block succeeds.

    The temporary file is in the same folder and has the same ending, since many writers choose
    the format by it. No other process or thread uses its name. After an error it is removed, and an
    earlier file at `path` is unchanged. One that a killed process left is removed after a day.

    Args:
        path: the file to write; missing folders above it are created.

    Raises:
        OSError: if the folder or the file cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    os.makedirs(folder, exist_ok=True)
    _remove_leftovers_once(folder)
    partial = temporary_path(os.path.join(folder, name))
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
    with tempfile.TemporaryDirectory(prefix=f"{_TEMPORARY}folder-", dir=parent) as private:
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


def temporary_path(path: str) -> str:
    """A path next to a file, with its ending, that nobody else uses: not yet a file."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f"{_TEMPORARY}{secrets.token_hex(4)}-{name[-200:]}")


@functools.cache
def _remove_leftovers_once(folder: str) -> None:
    """Looks once in a process: a folder of many files is not searched for each of them."""
    _remove_leftovers(folder)


def _remove_leftovers(folder: str) -> None:
    """Removes temporary files and folders that killed processes left more than a day ago."""
    for leftover in glob.glob(os.path.join(glob.escape(folder), f"{_TEMPORARY}*")):
        with contextlib.suppress(OSError):  # Another process was faster.
            if _last_change(leftover) > time.time() - _MAX_AGE_SECONDS:
                continue
            if os.path.isdir(leftover):
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                os.remove(leftover)


def _last_change(path: str) -> float:
    """When a file, or anything in a folder, was written last."""
    inside = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    return max(os.path.getmtime(name) for name in [path, *inside])
