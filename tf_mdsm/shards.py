"""A long job in pieces that are computed once, by whichever process, and survive a kill."""

import glob
import os
import re
import shutil
from collections.abc import Callable, Iterator

import numpy as np

from tf_mdsm.files import written_whole

__all__ = ["Shards"]

Arrays = dict[str, np.ndarray]


class Shards:
    """Files of arrays under one folder, which several processes may fill together.

    A piece is there when its file is: files appear whole, under names that no other process
    uses. A process computes its own pieces, every `num_workers`-th, and then what is still
    missing, so that a lost worker costs time and nothing else.

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
        own = [n for n in sorted(missing) if n % self._num_workers == self._worker]
        return own + sorted(missing - set(own), reverse=True)

    def compute(self, work: Callable[[int], Arrays]) -> Iterator[int]:
        """Computes what is missing, one piece after the other, and yields its number.

        Ends when every piece is there, or when another process has cleared the folder away.

        Args:
            work: the number of a piece to its arrays.
        """
        os.makedirs(self.folder, exist_ok=True)
        while os.path.isdir(self.folder) and (missing := self.missing()):
            number = missing[0]
            arrays = work(number)
            if not os.path.isdir(self.folder):
                return
            with written_whole(self._path(number)) as partial:
                np.savez(partial, **arrays)
            yield number

    def load(self) -> dict[str, np.ndarray]:
        """All pieces, joined along the first axis in their order."""
        pieces = []
        present = self._present()
        for number in range(self.count):
            with np.load(present[number], allow_pickle=False) as arrays:
                pieces.append(dict(arrays))
        return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}

    def remove(self) -> None:
        """Clears everything away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> str:
        return os.path.join(self.folder, f"{number:06d}_by_{self._worker}.npz")

    def _present(self) -> dict[int, str]:
        found = {}
        for path in glob.glob(os.path.join(glob.escape(self.folder), "*.npz")):
            match = re.fullmatch(r"(\d+)_by_\d+\.npz", os.path.basename(path))
            if match:
                found[int(match[1])] = path
        return found
