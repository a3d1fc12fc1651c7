"""Files that are whole or not there."""

import contextlib
import glob
import os
import shutil
import tempfile
import time
from collections.abc import Iterator

from tf_mdsm.errors import InvalidArgument

__all__ = ["atomic_folder", "atomic_write", "require_writable"]

_LEFTOVER, _DAY = ".partial-folder-", 86_400


@contextlib.contextmanager
def atomic_write(path: str) -> Iterator[str]:
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
def atomic_folder(path: str) -> Iterator[str]:
    """Yields a new folder beside `path`, which takes that name when the block succeeds.

    Several processes may write the same `path`: each has a folder of its own, and the first
    that is ready gets the name. What a killed process left is cleared away after a day.

    Raises:
        OSError: if there is something at `path` by then.
    """
    parent, name = os.path.split(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    _clear_leftovers(parent)
    with tempfile.TemporaryDirectory(prefix=_LEFTOVER, dir=parent) as private:
        # A folder in it has the access rights that others expect; a private one has not.
        partial = os.path.join(private, name)
        os.mkdir(partial)
        yield partial
        os.rename(partial, path)


def _clear_leftovers(parent: str) -> None:
    for leftover in glob.glob(os.path.join(glob.escape(parent), f"{_LEFTOVER}*")):
        if os.path.getmtime(leftover) < time.time() - _DAY:
            shutil.rmtree(leftover, ignore_errors=True)


def require_writable(workdir: str, name: str) -> None:
    """Makes the folder `name` of a run, and tries it.

    Raises:
        InvalidArgument: if nothing can be written there.
    """
    folder = os.path.join(workdir, name)
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidArgument("--workdir", f"be writable ({error})", workdir) from error
