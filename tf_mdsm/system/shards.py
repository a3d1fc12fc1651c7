"""A long job in pieces that are computed once, by whichever process, and survive a kill."""

import glob
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

__all__ = ["Shards"]

Arrays = dict[str, np.ndarray]

# Seconds between two looks at what the others do.
_LOOK_SECONDS = 0.1


class Shards:
    """Files of arrays under one folder, which several processes may fill together.

    A piece is there when its file is: files appear whole, under names that no other process
    uses. A process computes its own pieces, every `num_workers`-th. Then it stands in for those
    that do not come: so a lost worker costs time and nothing else.

    Args:
        folder: theirs alone.
        count: number of pieces.
        worker: this process, counted from 0.
        num_workers: processes that share the work.
    """

    def __init__(self, folder: str, count: int, worker: int = 0, num_workers: int = 1):
        self.folder, self.count = folder, count
        self._worker, self._num_workers = worker, num_workers

    def missing(self) -> list[int]:
        """Pieces that are not there yet; this process' own ones first, then from the end."""
        missing = set(range(self.count)) - self._present().keys()
        own = {number for number in missing if self._is_own(number)}
        return sorted(own) + sorted(missing - own, reverse=True)

    def compute(self, work: Callable[[int], Arrays]) -> Iterator[int]:
        """Computes what is missing, one piece after the other, and yields its number.

        Another's piece is left to it for twice the time that a piece takes here. Ends when
        every piece is there, or when another process has cleared the folder away.

        Args:
            work: the number of a piece to its arrays.
        """
        os.makedirs(self.folder, exist_ok=True)
        last_seen, last_change, patience = None, time.monotonic(), _LOOK_SECONDS
        while os.path.isdir(self.folder) and (missing := self.missing()):
            begin = time.monotonic()
            if missing != last_seen:
                last_seen, last_change = missing, begin
            if not self._is_own(missing[0]) and begin < last_change + patience:
                time.sleep(_LOOK_SECONDS)
                continue
            arrays = work(missing[0])
            if not self._write(missing[0], arrays):
                return
            patience = max(patience, 2 * (time.monotonic() - begin))
            yield missing[0]

    def load(self, names: Sequence[str]) -> Arrays:
        """Arrays that all pieces have, joined along the first axis in the pieces' order."""
        pieces = [self.read(number, names) for number in range(self.count)]
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in names}

    def read(self, number: int, names: Sequence[str]) -> Arrays:
        """Arrays of one piece."""
        with np.load(self._present()[number], allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}

    def remove(self) -> None:
        """Clears everything away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_own(self, number: int) -> bool:
        return number % self._num_workers == self._worker

    def _write(self, number: int, arrays: Arrays) -> bool:
        """Writes a piece; False if the folder is gone, which must not come back."""
        name = f"{number:06d}_by_{self._worker}.npz"
        partial = os.path.join(self.folder, f".partial-{name}")
        try:
            with open(partial, "wb") as file:
                np.savez(file, **arrays)
            os.replace(partial, os.path.join(self.folder, name))
        except FileNotFoundError:
            return False
        return True

    def _present(self) -> dict[int, str]:
        found = {}
        for path in glob.glob(os.path.join(glob.escape(self.folder), "*.npz")):
            match = re.fullmatch(r"(\d+)_by_\d+\.npz", os.path.basename(path))
            if match:
                found[int(match[1])] = path
        return found
