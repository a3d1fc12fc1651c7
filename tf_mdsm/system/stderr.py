"""Standard error without the messages of native code, such as TensorFlow's start-up messages."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

__all__ = ["quiet_stderr"]


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what the block prints to standard error, native code included.

    If the block fails, the held text is printed; otherwise it is discarded.
    """
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held_text:
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
