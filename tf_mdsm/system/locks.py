"""Lock on a run's checkpoint folder: only one process may train in it."""

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

__all__ = ["training_lock"]

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
        try:
            _acquire(file, folder)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            _LOGGER.warning("%s: a file system without locks; start one process only", folder)
        file.truncate(0)
        file.write(f"{os.getpid()} on {socket.gethostname()}")
        file.flush()
        try:
            yield
        finally:
            # The file is emptied and not removed: a removal could hit the next process's file.
            file.truncate(0)


def _acquire(file: TextIO, folder: str) -> None:
    """Takes the lock, or refuses with the name of the process that holds it.

    A process writes its name just after it has taken the lock, and removes it just before it
    releases the lock. So a lock without a name is asked for again.
    """
    deadline = time.monotonic() + _NAME_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            file.seek(0)
            name = file.read().strip()
            if name or time.monotonic() > deadline:
                holder = f"{folder}, where process {name or 'unknown'} is"
                one = "be trained in by one process at a time"
                raise InvalidArgument("--workdir", one, holder) from error
        time.sleep(0.02)
