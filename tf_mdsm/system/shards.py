"""Shards: the parts of a long job, each computed once by any process, and kept after a kill."""

import glob
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tf_mdsm.errors import RunError
from tf_mdsm.system.atomic import sync, temporary_path

__all__ = ["Arrays", "Shards"]

Arrays = dict[str, np.ndarray]

# Seconds between two looks at which shards exist.
_POLL_SECONDS = 0.1


class Shards:
    """Files of arrays in one folder, one a shard, which several processes may fill together.

    A shard is done when its file exists: files appear complete, under names that no other
    process uses. A worker first computes its own shards, every `num_workers`-th one. Then it
    computes those of other workers that do not appear in time. A lost worker therefore costs
    time and nothing else.

    Args:
        folder: path of a folder for these shards alone.
        count: number of shards.
        worker: number of this worker, counted from 0.
        num_workers: number of workers that share the job.

    Attributes:
        folder: as given.
        count: as given.
    """

    def __init__(self, folder: str, count: int, worker: int = 0, num_workers: int = 1):
        self.folder, self.count = folder, count
        self._worker, self._num_workers = worker, num_workers

    def missing(self) -> list[int]:
        """Returns the shards that do not exist: this worker's own first, then the others.

        The others are in descending order, so that this worker and their own, which begins with
        the first one, rarely compute the same shard.
        """
        missing = set(range(self.count)) - self._paths().keys()
        own = {number for number in missing if self._is_own(number)}
        return sorted(own) + sorted(missing - own, reverse=True)

    def compute(self, work: Callable[[int], Arrays]) -> Iterator[int]:
        """Computes missing shards one after the other, and yields the number of each.

        A shard of another worker is left to it for twice the time that the slowest shard has
        taken here. Ends when every shard exists, or when another process has removed the folder.

        Args:
            work: function from the number of a shard to its arrays.
        """
        os.makedirs(self.folder, exist_ok=True)
        last_missing, last_change, wait_seconds = None, time.monotonic(), _POLL_SECONDS
        while os.path.isdir(self.folder) and (missing := self.missing()):
            begin = time.monotonic()
            if missing != last_missing:
                last_missing, last_change = missing, begin
            if not self._is_own(missing[0]) and begin < last_change + wait_seconds:
                time.sleep(_POLL_SECONDS)
                continue
            arrays = work(missing[0])
            if not self._write(missing[0], arrays):
                return
            wait_seconds = max(wait_seconds, 2 * (time.monotonic() - begin))
            yield missing[0]

    def load(self, names: Sequence[str]) -> Arrays:
        """Returns arrays that all shards have, joined along the first axis in order of shards.

        Args:
            names: names of the arrays.

        Raises:
            RunError: if shards are missing, as another process has removed them.
        """
        if self.missing():
            raise RunError(f"{self.folder}: another process has removed it; run again")
        shards = [self.read(number, names) for number in range(self.count)]
        return {name: np.concatenate([shard[name] for shard in shards]) for name in names}

    def read(self, number: int, names: Sequence[str]) -> Arrays:
        """Returns arrays of one shard.

        Args:
            number: number of the shard, which must exist.
            names: names of the arrays.
        """
        with np.load(self._paths()[number], allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}

    def remove(self) -> None:
        """Removes the folder with all shards."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_own(self, number: int) -> bool:
        """Whether a shard is one of this worker's own."""
        return number % self._num_workers == self._worker

    def _write(self, number: int, arrays: Mapping[str, Any]) -> bool:
        """Writes a shard; returns False, without a new folder, if the folder has been removed."""
        path = os.path.join(self.folder, f"{number:06d}_by_{self._worker}.npz")
        partial = temporary_path(path)
        try:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
            sync(partial)
            os.replace(partial, path)
            sync(self.folder)
        except FileNotFoundError:
            if os.path.isdir(self.folder):
                raise
            return False
        return True

    def _paths(self) -> dict[int, str]:
        """Returns the paths of the existing shards by number."""
        paths = {}
        for path in glob.glob(os.path.join(glob.escape(self.folder), "*.npz")):
            match = re.fullmatch(r"(\d+)_by_\d+\.npz", os.path.basename(path))
            if match:
                paths[int(match[1])] = path
        return paths
