"""Results keep their names: what was drawn otherwise is never overwritten."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.locks import job_lock
from tf_mdsm.system.npz import read_npz_arrays

__all__ = ["PROVENANCE", "provenance_array", "read_provenance", "reserved_stem"]

_LOGGER = logging.getLogger(__name__)

# The array of an .npz of results that says what they are of: seed, step, sampler, all settings.
PROVENANCE = "provenance"


def provenance_array(provenance: dict[str, object]) -> np.ndarray:
    """What results are of as an array, JSON text, for their .npz; it has an entry `key`."""
    return np.array(json.dumps(provenance))


def read_provenance(path: str) -> dict[str, object]:
    """What the results in an .npz are of; empty if it does not say, as by an earlier version.

    Raises:
        InvalidArgument: if it cannot be read.
    """
    arrays = read_npz_arrays(path, [], optional=[PROVENANCE])
    return json.loads(str(arrays[PROVENANCE])) if arrays else {}


@contextmanager
def reserved_stem(stem: str, key: str) -> Iterator[str]:
    """Yields where results are written: `stem`, or `<stem>_<key>` if others are there.

    Others are those of another key, of which nothing is overwritten. During the block no other
    process chooses a name in the folder.

    Args:
        stem: path of the results, less their endings.
        key: hash of all that they depend on. Results of the same key are the same.
    """
    with job_lock(os.path.join(os.path.dirname(stem), "lock"), "be waited for", waits=True):
        if _is_free(stem, key):
            yield stem
            return
        other = f"{stem}_{key}"
        _LOGGER.info("%s holds results of other settings or weights: see %s", stem, other)
        yield other


def _is_free(stem: str, key: str) -> bool:
    """Whether nothing is there, or results of the same key."""
    if not any(os.path.lexists(stem + ending) for ending in (".json", ".npz", "", "_arr_0.npz")):
        return True
    try:
        return _key_of(stem) == key
    except (InvalidArgument, OSError, ValueError, AttributeError):
        return False


def _key_of(stem: str) -> object:
    """The key of results: in their report, `<stem>.json`, or else in their .npz."""
    if not os.path.exists(f"{stem}.json"):
        return read_provenance(f"{stem}.npz").get("key")
    with open(f"{stem}.json", encoding="utf-8") as file:
        return json.load(file).get("key")
