"""The cache: folders that keep what was read of a source, one for each content and use."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from tf_mdsm.datasets.source_fingerprint import SourceFingerprint, fingerprint_source
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.system.atomic import atomic_folder, write_json
from tf_mdsm.system.fingerprints import fingerprint

__all__ = ["open_cached"]

_LOGGER = logging.getLogger(__name__)

_T = TypeVar("_T")


def open_cached(
    cache: str,
    source: Mapping[str, str],
    *,
    key: Callable[[SourceFingerprint], Any],
    fill: Callable[[str], None],
    open_folder: Callable[[str], _T],
) -> _T:
    """Opens what a cache keeps of a source, which is read first if the cache does not have it.

    A source that has changed is read again, one that was moved or touched is not. If several
    processes fill one folder, the first that is ready creates it, and the others use it.

    Args:
        cache: the folder of all caches.
        source: where the images are, arguments of `fingerprint_source` with a `path`.
        key: from the source's images, by what they are known, to all that the content of the folder
            depends on, as JSON has it.
        fill: reads the source and writes files into a folder.
        open_folder: opens these files.

    Raises:
        InvalidArgument: if the cache cannot be written or read, if the source changes while it is
            read, and what `fill` raises.
    """
    found = fingerprint_source(**source, known=_remembered(cache, os.path.realpath(source["path"])))
    name = hashlib.sha256(json.dumps(key(found), sort_keys=True).encode()).hexdigest()[:16]
    folder = os.path.join(cache, name)
    try:
        if not os.path.isdir(folder):
            _LOGGER.info("reading images of %s into the cache %s", found.place, folder)
            _fill(folder, source, found, fill)
        _remember(cache, found)
        return open_folder(folder)
    except (OSError, ValueError) as error:
        if isinstance(error, InvalidArgument):
            raise
        usable = f"be a folder that can be written and read ({one_line(error)})"
        raise InvalidArgument("cache", usable, cache) from error


def _fill(
    folder: str, source: Mapping[str, str], found: SourceFingerprint, fill: Callable[[str], None]
) -> None:
    """Fills a folder of the cache; it appears complete, or not at all."""
    try:
        with atomic_folder(folder) as partial:
            fill(partial)
            if fingerprint_source(**source, known=found) != found:
                raise InvalidArgument("path", "not change while it is read", source["path"])
    except OSError:
        if not os.path.isdir(folder):  # Otherwise another process was faster.
            raise


def _remembered(cache: str, place: str) -> SourceFingerprint | None:
    """What images at a real path were known by when the cache was used last; None: not known."""
    try:
        with open(_memory_path(cache, place), encoding="utf-8") as file:
            return SourceFingerprint(**json.load(file))
    except (OSError, ValueError, TypeError):
        return None


def _remember(cache: str, source: SourceFingerprint) -> None:
    """Keeps what images are known by, so that they are not read again to find out."""
    if source.num_files and _remembered(cache, source.place) != source:
        with contextlib.suppress(OSError):  # Of a cache that can only be read.
            write_json(dataclasses.asdict(source), _memory_path(cache, source.place))


def _memory_path(cache: str, place: str) -> str:
    return os.path.join(cache, f"source_{fingerprint(place)}.json")
