"""Locks: only one process may train in a folder, or do the same other job there."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import TextIO

from tf_mdsm.errors import InvalidArgument

__all__ = ["job_lock", "training_lock"]

_LOGGER = logging.getLogger(__name__)

# How long to wait for the name of the process that holds the lock.
_NAME_SECONDS = 2.0


@contextlib.contextmanager
def training_lock(folder: str) -> Iterator[None]:
    """Locks a checkpoint folder, so that no other process trains in it during the block.

    The kernel holds the lock and releases it when the process ends, however it ends: nothing has
    to be removed after a kill. On a file system without locks there is a warning and no lock.

    Args:
        folder: the checkpoint folder; created if it does not exist.

    Raises:
        InvalidArgument: if another process holds the lock; the message names that process.
        OSError: if nothing can be written there.
    """
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "a+", encoding="utf-8") as file:
        _acquire(file, folder, "be trained in by one process at a time")
        try:
            yield
        finally:
            # The file is emptied and not removed: a removal could hit the next process's file.
            file.truncate(0)


@contextlib.contextmanager
def job_lock(path: str, requirement: str, *, waits: bool = False) -> Iterator[None]:
    """Locks a job by a file, so that no other process does the same during the block.

    The lock is of the same kind as that of training. Its file is removed at the end; one that a
    killed process left does no harm.

    Args:
        path: the file; missing folders above it are created.
        requirement: what another process must do or be, for the message:
            "be evaluated by one process at a time".
        waits: wait until another process has finished, instead of refusing.

    Raises:
        InvalidArgument: if another process holds the lock; the message names that process.
        OSError: if nothing can be written there.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            _acquire(file, path, requirement, waits)
            if not _is_at(file, path):
                continue  # The process before removed this file: it is no lock any more.
            try:
                yield
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(path)
            return


def _is_at(file: TextIO, path: str) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _acquire(file: TextIO, place: str, requirement: str, waits: bool = False) -> None:
    """Takes the lock and writes this process's name, or refuses with the name of its holder.

    A process writes its name just after it has taken the lock, and removes it just before it
    releases the lock. So a lock without a name is asked for again.
    """
    deadline, has_logged = time.monotonic() + _NAME_SECONDS, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError as error:
            file.seek(0)
            name = file.read().strip()
            holder = f"{place}, where process {name or 'unknown'} is"
            if not waits and (name or time.monotonic() > deadline):
                raise InvalidArgument("--workdir", requirement, holder) from error
            if waits and name and not has_logged:
                _LOGGER.info("waiting for %s", holder)
                has_logged = True
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            _LOGGER.warning("%s: a file system without locks; start one process only", place)
            break
        time.sleep(0.02)
    file.truncate(0)
    file.write(f"{os.getpid()} on {socket.gethostname()}")
    file.flush()
