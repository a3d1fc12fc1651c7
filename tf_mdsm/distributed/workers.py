"""The processes of a strategy: ranks, values that they exchange, the loss of a worker."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import RunError, one_line

__all__ = ["Workers"]


class Workers:
    """The worker processes of a strategy, and communication between them.

    `any`, `agree_on` and `barrier` are collective: all workers call them at the same point of
    their run, or none does. A strategy of one process has one worker.

    Args:
        strategy: the strategy that connects the workers.

    Attributes:
        rank: rank of this process; the chief has rank 0.
        world_size: number of workers.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.rank, self.world_size = 0, 1
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            self.rank = resolver.task_id
            self.world_size = resolver.cluster_spec().num_tasks("worker")
        self._sum_over_workers = tf.function(
            lambda numbers: strategy.reduce(tf.distribute.ReduceOp.SUM, numbers, axis=None),
            autograph=False,
        )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes files and logs; true for the only worker of a run."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set on at least one of the workers."""
        return bool(np.any(self._gather([int(flag)])))

    def agree_on(self, numbers: Sequence[int]) -> bool:
        """Returns whether these numbers, each below 2^63, are the same on all workers."""
        gathered = self._gather(numbers)
        return bool(np.all(gathered.min(axis=0) == gathered.max(axis=0)))

    def barrier(self) -> None:
        """Waits until every worker has come to this point."""
        self.any(False)

    def is_lost_worker(self, error: Exception) -> bool:
        """Whether an error means that another worker has ended or cannot be reached."""
        kinds = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
        return self.world_size > 1 and (
            isinstance(error, kinds) or "Collective ops is aborted" in str(error)
        )

    @contextlib.contextmanager
    def errors_at(self, moment: str) -> Iterator[None]:
        """Turns an error of TensorFlow or the operating system into a `RunError` with a moment.

        Args:
            moment: when the block runs, for the message: "step 12", "the start".

        Raises:
            RunError: "step 12: …", with the error's own message, or with advice to start all
                workers again if another worker was lost.
        """
        try:
            yield
        except (tf.errors.OpError, OSError) as error:
            if self.is_lost_worker(error):
                advice = "start all workers again to resume from the last checkpoint"
                raise RunError(f"{moment}: a worker was lost; {advice}") from error
            raise RunError(f"{moment}: {one_line(error)}") from error

    def _gather(self, numbers: Sequence[int]) -> np.ndarray:
        """The numbers of each worker in its row: int64 [world_size, len(numbers)]."""
        if self.world_size == 1:
            return np.array([numbers], np.int64)
        rows = np.zeros((self.world_size, len(numbers)), np.int64)
        rows[self.rank] = numbers
        # In every row all workers but one have zeros, so that the sum is the number itself.
        return self._sum_over_workers(tf.constant(rows)).numpy()
