"""Lines on standard output, whatever its encoding and whether or not somebody still reads them."""

import contextlib
import io
import sys
from collections.abc import Iterable

__all__ = ["print_lines"]


def print_lines(lines: Iterable[object]) -> None:
    """Prints lines to standard output, and writes them out.

    Characters that its encoding lacks are escaped. A reader that has closed it, as `head` does, has
    what it wanted: the other lines are dropped.

    Raises:
        OSError: if they cannot be written, as on a full disk.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    with contextlib.suppress(BrokenPipeError):
        for line in lines:
            print(line)
        if sys.stdout is not None:
            sys.stdout.flush()
