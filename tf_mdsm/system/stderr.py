"""Standard error without the messages of native code, such as TensorFlow's start-up messages."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

__all__ = ["quiet_stderr"]


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what the block prints to standard error, native code included.

    If the block fails, the held text is printed; otherwise it is discarded. Where standard error
    is closed nothing is held back.
    """
    try:
        original = os.dup(2)
    except OSError:
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with _open_buffer() as held_text:
        os.dup2(held_text.fileno(), 2)
        try:
            yield
        except BaseException:
            held_text.seek(0)
            os.write(original, held_text.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)


def _open_buffer() -> IO[bytes]:
    """A file for the held text: in memory on Linux, where no folder need be writable."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()
