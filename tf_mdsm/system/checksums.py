"""Whether files are as they were written: disks flip bits, and machines go down in the middle."""

import hashlib
import json
import os
from collections.abc import Iterable

from tf_mdsm.system.atomic import atomic_write

__all__ = ["changed_file", "forget", "record"]

_NAME = "checksums.json"


def record(folder: str, names: Iterable[str]) -> None:
    """Keeps the SHA-256 of some of a folder's files in it, beside those of others still there."""
    known = {n: d for n, d in _load(folder).items() if os.path.exists(os.path.join(folder, n))}
    _store(folder, known | {name: _digest(os.path.join(folder, name)) for name in names})


def forget(folder: str, names: Iterable[str]) -> None:
    """Drops what is kept of files that are about to be written anew."""
    known, names = _load(folder), set(names)
    if names & known.keys():
        _store(folder, {name: digest for name, digest in known.items() if name not in names})


def changed_file(folder: str, names: Iterable[str]) -> str | None:
    """The first of a folder's files that is not as it was recorded; none if all are, or were not.

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
    """What is recorded; nothing where the record itself is missing or damaged."""
    try:
        with open(os.path.join(folder, _NAME), encoding="utf-8") as file:
            known = json.load(file)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _store(folder: str, known: dict[str, str]) -> None:
    path = os.path.join(folder, _NAME)
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(known, file, indent=2, sort_keys=True)
        file.write("\n")
