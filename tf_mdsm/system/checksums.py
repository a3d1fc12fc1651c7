"""Checksums (SHA-256) of a folder's files, to notice files that a disk or a crash has damaged."""

import hashlib
import json
import os
from collections.abc import Collection, Iterable

from tf_mdsm.system.atomic import sync, write_json

__all__ = ["changed_file", "forget", "record"]

_FILE_NAME = "checksums.json"


def record(folder: str, names: Collection[str]) -> None:
    """Records the checksums of some of a folder's files in its checksums.json.

    The files are on the disk before their checksums are. Checksums of the folder's other files
    stay, unless the file no longer exists.

    Args:
        folder: path of the folder.
        names: names of files in it.

    Raises:
        OSError: if a file cannot be read, or the checksums cannot be written.
    """
    known = {n: d for n, d in _load(folder).items() if os.path.exists(os.path.join(folder, n))}
    for name in names:
        sync(os.path.join(folder, name))
    _store(folder, known | {name: _digest(os.path.join(folder, name)) for name in names})


def forget(folder: str, names: Iterable[str]) -> None:
    """Removes the checksums of files that are about to be overwritten; arguments as `record`.

    Raises:
        OSError: if the checksums cannot be written.
    """
    known, names = _load(folder), set(names)
    if names & known.keys():
        _store(folder, {name: digest for name, digest in known.items() if name not in names})


def changed_file(folder: str, names: Iterable[str]) -> str | None:
    """Returns the first file whose content differs from its checksum; arguments as `record`.

    Returns:
        The file's name; None if no file differs. A file without a checksum counts as unchanged.

    Raises:
        OSError: for a file that cannot be read.
    """
    known = _load(folder)
    for name in names:
        if name in known and _digest(os.path.join(folder, name)) != known[name]:
            return name
    return None


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(folder: str) -> dict[str, str]:
    """Returns the recorded checksums by file name; none if checksums.json is missing or damaged."""
    try:
        with open(os.path.join(folder, _FILE_NAME), encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _store(folder: str, known: dict[str, str]) -> None:
    write_json(dict(sorted(known.items())), os.path.join(folder, _FILE_NAME))
