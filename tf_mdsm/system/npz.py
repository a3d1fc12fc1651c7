"""Arrays from files that a user names: nothing in them is run, nor unpacked beyond all memory."""

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["UNREADABLE", "read_npz_arrays", "require_memory"]

# What NumPy raises for damaged and foreign files.
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    MemoryError,
    RuntimeError,
    OverflowError,
    IndexError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


def require_memory(size: int, path: str) -> None:
    """Refuses a file whose content, so many bytes, would take more than half of all memory.

    Raises:
        InvalidArgument: if it would.
    """
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if size > limit:
        fits = f"unpack to at most {limit:,} bytes, half of this machine's memory"
        raise InvalidArgument("path", fits, f"{path}, {size:,} bytes")


def read_npz_arrays(
    path: str, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Some arrays of an `.npz` file.

    Args:
        path: the file.
        names: arrays that it must hold.
        optional: arrays that it may hold.

    Raises:
        InvalidArgument: for a file or an array that is missing, damaged, or larger than memory.
    """
    found = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for name in (*names, *(name for name in optional if name in archive)):
                require_memory(archive.zip.getinfo(f"{name}.npy").file_size, path)
                found[name] = archive[name]
    except KeyError as error:
        raise InvalidArgument("path", f"hold an array named `{name}`", path) from error
    except InvalidArgument:
        raise
    except (*UNREADABLE, AttributeError) as error:
        # An array by itself has no such attributes.
        raise InvalidArgument("path", f"be a readable .npz file ({error})", path) from error
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise InvalidArgument("path", f"hold an array named `{name}`", path)
    return found
