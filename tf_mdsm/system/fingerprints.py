"""Fingerprints: short hashes by which what is kept is known by what it is of.

A path says where something is, not what it is: the files behind it may be replaced. So names of
intermediate results, and records of what was used, hold fingerprints of content.
"""

import dataclasses
import functools
import gzip
import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any

import numpy as np

__all__ = ["content_of_files", "content_of_path", "fingerprint", "state_of_files"]

# Files that are read at a time: more than processors, as most of the time is waiting for the disk.
_THREADS = 8


def fingerprint(*values: object) -> str:
    """A hash of values, 16 hexadecimal digits: equal if and only if types and contents are equal.

    Args:
        values: None, truth values, numbers, text, bytes, arrays, dataclasses of them, and mappings
            (in any order) and sequences of them.

    Raises:
        TypeError: for a value of another type, which would have no content that is known here.
    """
    digest = hashlib.sha256()
    for value in values:
        _add(digest, value)
    return digest.hexdigest()[:16]


def _add(digest: Any, value: object) -> None:
    """Adds a value to a hash, each with its type and length: no two values give the same bytes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        _add(digest, type(value).__name__)
        _add(
            digest, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        )
    elif isinstance(value, np.ndarray | np.generic):
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise TypeError("an array of objects has no content that can be hashed")
        _add(digest, f"array {array.dtype.str} {np.shape(value)}")
        digest.update(array.data if array.size else b"")
    elif isinstance(value, Mapping):
        _add(digest, f"mapping {len(value)}")
        for name in sorted(value):
            _add(digest, name)
            _add(digest, value[name])
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        _add(digest, f"sequence {len(value)}")
        for element in value:
            _add(digest, element)
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        content = value if isinstance(value, bytes) else str(value).encode(errors="surrogateescape")
        digest.update(f"{type(value).__name__} {len(content)} ".encode() + content)
    else:
        raise TypeError(f"{type(value).__name__} has no content that can be hashed")


def state_of_files(paths: Sequence[str]) -> str:
    """A fingerprint of real paths, sizes and times of files: as long as it stays, so do contents.

    It changes also when files are moved or touched. Then `content_of_files` says whether they have
    changed. The time of the last change of the file's record (ctime) is among the times, because
    a program can set the others back.

    Raises:
        OSError: if a file does not exist.
    """
    real_path = functools.cache(os.path.realpath)  # Of each folder once: it takes long.
    digest = hashlib.sha256()
    for path in paths:
        folder, name = os.path.split(path)
        status = os.stat(path)
        facts = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        digest.update(f"{os.path.join(real_path(folder), name)!r} {facts}\n".encode())
    return digest.hexdigest()[:16]


def content_of_files(paths: Sequence[str], array: str = "") -> str:
    """A fingerprint of the contents of files in this order, wherever they are and whatever named.

    Of a compressed file (.gz) the unpacked content counts.

    Args:
        paths: the files.
        array: of an archive of arrays (.npz) that holds an array of this name, only that counts.

    Raises:
        OSError: if a file cannot be read.
    """
    # Within a process, files that have not changed are read once.
    return _content_of_files(tuple(paths), array, state_of_files(paths))


@functools.lru_cache(maxsize=64)
def _content_of_files(paths: tuple[str, ...], array: str, _: str) -> str:
    with ThreadPoolExecutor(_THREADS) as pool:
        return fingerprint(list(pool.map(functools.partial(_digest, array=array), paths)))


def content_of_path(path: str) -> str:
    """A fingerprint of a file, or of all files in a folder with their relative names.

    Raises:
        OSError: if nothing is there, or a file cannot be read.
    """
    if not os.path.isdir(path):
        return content_of_files([path])
    files = sorted(
        os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names
    )
    names = [os.path.relpath(file, path) for file in files]
    return fingerprint(names, content_of_files(files))


def _digest(path: str, array: str) -> str:
    """SHA-256 of a file, or of what it holds, as in `content_of_files`."""
    try:
        if path.endswith(".gz"):
            with gzip.open(path) as unpacked:
                return _digest_of(unpacked)
        if array and path.endswith(".npz"):
            with zipfile.ZipFile(path) as archive, archive.open(f"{array}.npy") as values:
                return _digest_of(values)
    except (zipfile.BadZipFile, KeyError, EOFError, gzip.BadGzipFile, ValueError, OSError):
        pass  # No such array, or damaged: then the file as it is.
    with open(path, "rb") as file:
        return _digest_of(file)


def _digest_of(file: IO[bytes] | gzip.GzipFile) -> str:
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
