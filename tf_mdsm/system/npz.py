"""Safe reading of .npy and .npz files: no code in them is run, and memory use is limited."""

import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from tf_mdsm.errors import InvalidArgument

__all__ = [
    "ARRAY_READ_ERRORS",
    "memory_limit",
    "read_array",
    "read_npz_arrays",
    "require_file",
    "require_memory",
]

# The first bytes of an .npy file, and of an .npz file, which is a ZIP archive.
_NPY_MAGIC, _ZIP_MAGIC = b"\x93NUMPY", b"PK"

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


def memory_limit() -> int:
    """Half of this machine's memory in bytes: what images that are read may take."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def require_memory(num_bytes: int, path: str) -> None:
    """Refuses a file whose content would take more than half of this machine's memory.

    Args:
        num_bytes: size of the unpacked content.
        path: the file, for the message.

    Raises:
        InvalidArgument: if the content is too large.
    """
    limit = memory_limit()
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
        require_file(path)
        # NumPy would leave a damaged file open.
        with open(path, "rb") as file, _open_archive(file) as archive:
            for name in (*names, *(name for name in optional if name in archive)):
                require_memory(archive.zip.getinfo(f"{name}.npy").file_size, path)
                arrays[name] = archive[name]
    except KeyError as error:
        raise InvalidArgument("path", f"hold an array named `{name}`", path) from error
    except InvalidArgument:
        raise
    except ARRAY_READ_ERRORS as error:
        raise InvalidArgument("path", f"be a readable .npz file ({error})", path) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise InvalidArgument("path", f"hold an array named `{name}`", path)
    return arrays


def read_array(path: str, name: str) -> np.ndarray:
    """Reads an array from its own .npy file, or by its name from an .npz file.

    Args:
        path: the file. Its first bytes say which of the two it is, or else its ending.
        name: the array's name in an .npz file.

    Raises:
        InvalidArgument: as `read_npz_arrays`.
    """
    is_npy = path.lower().endswith(".npy")
    try:
        require_file(path)
        with open(path, "rb") as file:
            start = file.read(len(_NPY_MAGIC))
            is_npy = start == _NPY_MAGIC or (is_npy and not start.startswith(_ZIP_MAGIC))
            if is_npy:
                require_memory(os.fstat(file.fileno()).st_size, path)
                file.seek(0)
                return np.load(file, allow_pickle=False)
    except InvalidArgument:
        raise
    except ARRAY_READ_ERRORS as error:
        kind = "npy" if is_npy else "npz"
        raise InvalidArgument("path", f"be a readable .{kind} file ({error})", path) from error
    return read_npz_arrays(path, [name])[name]


def require_file(path: str) -> None:
    """Refuses what is no file: a folder, or a pipe, which would be waited for.

    Raises:
        OSError: for these, and for a file that is missing.
    """
    if not os.path.isfile(path):
        os.stat(path)
        raise OSError("it is not a file")


def _open_archive(file: BinaryIO) -> Any:
    archive = np.load(file, allow_pickle=False)
    if isinstance(archive, np.ndarray):
        raise ValueError("it is one array without a name")
    return archive
