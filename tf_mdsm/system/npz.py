"""Safe reading of arrays from .npz files: no code in them is run, and memory use is limited."""

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = ["ARRAY_READ_ERRORS", "read_npz_arrays", "require_memory"]

# Errors that NumPy raises for damaged files and for files of another kind.
ARRAY_READ_ERRORS = (
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


def require_memory(num_bytes: int, path: str) -> None:
    """Refuses a file whose content would take more than half of this machine's memory.

    Args:
        num_bytes: size of the unpacked content.
        path: the file, for the message.

    Raises:
        InvalidArgument: if the content is too large.
    """
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    if num_bytes > limit:
        fits = f"unpack to at most {limit:,} bytes, half of this machine's memory"
        raise InvalidArgument("path", fits, f"{path}, {num_bytes:,} bytes")


def read_npz_arrays(
    path: str, names: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Reads some arrays of an .npz file; pickled objects are not loaded.

    Args:
        path: the file.
        names: arrays that the file must hold.
        optional: arrays that the file may hold.

    Returns:
        The arrays by name; those of `optional` that the file does not hold are left out.

    Raises:
        InvalidArgument: for a file or an array that is missing, damaged, or larger than half of
            the memory.
    """
    arrays = {}
    try:
        # NumPy would leave a damaged file open.
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in (*names, *(name for name in optional if name in archive)):
                require_memory(archive.zip.getinfo(f"{name}.npy").file_size, path)
                arrays[name] = archive[name]
    except KeyError as error:
        raise InvalidArgument("path", f"hold an array named `{name}`", path) from error
    except InvalidArgument:
        raise
    except (*ARRAY_READ_ERRORS, AttributeError) as error:
        # AttributeError: the file holds a plain array, which is no archive.
        raise InvalidArgument("path", f"be a readable .npz file ({error})", path) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InvalidArgument("path", f"hold an array named `{name}`", path)
    return arrays
