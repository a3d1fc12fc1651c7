"""Files that are whole or not there."""

import contextlib
import os
from collections.abc import Iterator

__all__ = ["written_whole"]


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
