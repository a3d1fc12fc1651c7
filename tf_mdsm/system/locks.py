"""One process at a time."""

import contextlib
import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator

from tf_mdsm.errors import InvalidArgument

__all__ = ["training_lock"]

_LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def training_lock(folder: str) -> Iterator[None]:
    """Keeps every other process from training in a run's folder of checkpoints in the block.

    The kernel holds the lock and drops it with the process, however that ends: there is nothing
    to clear away after a kill.

    Raises:
        InvalidArgument: if another process is at it, naming it.
        OSError: if nothing can be written there.
    """
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "lock"), "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = f"process {file.read().strip() or 'unknown'} is"
            raise InvalidArgument(
                "--workdir", "be trained in by one process at a time", f"{folder}, where {holder}"
            ) from error
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
            # The file stays: whoever removed it might remove that of the next process.
            file.truncate(0)
