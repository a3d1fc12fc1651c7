"""A job in shards with a trained run: on all devices and by all workers, resumable after a kill."""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.distributed.cluster_sources import read_worker_rank
from tf_mdsm.distributed.strategies import local_devices
from tf_mdsm.errors import RunError
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.system.progress import progress_bar
from tf_mdsm.system.shards import Arrays, Shards

__all__ = ["WAIT_SECONDS", "JobDevices", "OnSteps", "ShardedJob"]

_LOGGER = logging.getLogger(__name__)

# Called with the number of steps that have just been done, for a progress bar.
OnSteps = Callable[[int], object]

# Makes the function from a shard's number to its arrays, with a run on the device of the shards.
MakeShardFunction = Callable[[LoadedRun, OnSteps], Callable[[int], Arrays]]

# Seconds for which a worker waits until the first worker begins.
WAIT_SECONDS = 60


class JobDevices:
    """The devices of this process, and its place among the workers of a cluster.

    Args:
        config: the run's configuration.

    Attributes:
        devices: names of the devices.
        rank: number of this worker.
        num_workers: number of workers.
    """

    def __init__(self, config: ConfigDict):
        training = config.training
        self.rank, self.num_workers = read_worker_rank(training.strategy, training.cluster)
        self.devices = local_devices()[: 1 if training.strategy == "one_device" else None]

    @property
    def is_chief(self) -> bool:
        """Whether this process is the first worker, which writes the result."""
        return self.rank == 0

    def shares(self, folder: str, count: int) -> list[Shards]:
        """The shards of a folder, one share for each device among those of all workers."""
        share = len(self.devices)
        return [
            Shards(folder, count, self.rank * share + number, self.num_workers * share)
            for number in range(share)
        ]


class ShardedJob:
    """Shards that all devices of all workers compute, and the run that they are of.

    Args:
        config: the run's configuration.
        run: the run, loaded on the first device.
        places: the devices and the worker.
        folder: folder of the shards.
        count: number of shards.
        result: path of what the chief writes at the end.
        name: what the job does, "sampling".

    Attributes:
        shards: the shards of the first device. The chief removes them.
        run: as given.
        is_chief: whether this process is the first worker, which writes the result.
    """

    def __init__(
        self,
        config: ConfigDict,
        run: LoadedRun,
        places: JobDevices,
        *,
        folder: str,
        count: int,
        result: str,
        name: str,
    ):
        self._config, self._places, self._result, self._name = config, places, result, name
        self._shares = places.shares(folder, count)
        self.shards, self.run, self.is_chief = self._shares[0], run, places.is_chief

    def begin(self, wait_seconds: float = WAIT_SECONDS) -> bool:
        """Waits until the first worker has begun; returns False if it has finished already.

        Raises:
            RunError: if there are neither shards nor a result after so many seconds.
        """
        deadline = time.monotonic() + wait_seconds
        while not self.is_chief and not os.path.isdir(self.shards.folder):
            if time.monotonic() > deadline:
                if os.path.exists(self._result):
                    _LOGGER.info("no %s: the first worker has finished, or not begun", self._name)
                    return False
                text = f"the first worker has not begun {self._name} after {wait_seconds:g} s"
                raise RunError(text)
            time.sleep(0.2)
        return True

    def compute(
        self, make_function: MakeShardFunction, *, steps: int = 1, unit: str = "batch"
    ) -> None:
        """Computes the missing shards on all devices at a time.

        Args:
            make_function: makes the function of a device.
            steps: steps of a shard, for the progress bar.
            unit: what a step is.

        Raises:
            RunError: if training has continued meanwhile.
        """
        devices, shares, run = self._places.devices, self._shares, self.run
        others = [
            load_run(self._config, run.folder.path, device, run.checkpoint)
            for device in devices[1:]
        ]
        if any(other.step != run.step for other in others):
            raise RunError(f"another checkpoint than that of step {run.step} has come; run again")
        count = self.shards.count
        done = count - len(self.shards.missing())
        if done:
            _LOGGER.info("%d of %d batches are there already", done, count)
        stop = threading.Event()
        with progress_bar(self._name, count * steps, unit, done * steps) as bar:

            def compute_share(shards: Shards, run: LoadedRun, device: str) -> None:
                with tf.device(device):
                    compute_shard = make_function(run, bar.update)
                    for _ in shards.compute(compute_shard):
                        if stop.is_set():
                            return

            if len(devices) == 1:
                compute_share(shares[0], run, devices[0])
                return
            with ThreadPoolExecutor(len(devices)) as pool:
                try:
                    list(pool.map(compute_share, shares, [run, *others], devices))
                finally:
                    stop.set()
