"""The devices and machines that train together: strategies, and what workers agree on."""

import contextlib
import faulthandler
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

import tensorflow as tf

from tf_mdsm.distributed.cluster_spec import (
    SOURCES,
    Cluster,
    count_workers,
    is_described,
    read_cluster,
)
from tf_mdsm.errors import InvalidArgument, RunError, one_line

__all__ = ["Place", "Workers", "create_strategy", "local_devices", "meet", "place"]

_LOGGER = logging.getLogger(__name__)

# How long workers may take to appear, and between two looks at those that have not.
START_SECONDS, _LOOK_SECONDS = 300.0, 0.5

# How long they may take to connect once all have appeared; each also readies its GPUs meanwhile.
_CONNECT_SECONDS = 60.0
_LOST = "tf_mdsm: a worker was lost while connecting; start all workers again"


class Place(NamedTuple):
    """This process among the `count` that share the work; the chief's index is 0."""

    index: int
    count: int


def place(strategy: str, source: str) -> Place:
    """This process among those that share the work; (0, 1) where nothing describes a cluster.

    Starts nothing: neither TensorFlow's servers nor its runtime.

    Args:
        strategy: the name of a strategy, as `config.training.strategy`.
        source: who describes the workers, as `config.training.cluster`.

    Raises:
        InvalidArgument: for a description that cannot be, or that another source gives, or of
            several workers under a strategy of one machine.
    """
    if strategy != "multi_worker_mirrored":
        _require_one_worker(strategy, source)
        return Place(0, 1)
    _require_source(source)
    cluster = read_cluster(source) if is_described(source) else None
    return Place(cluster.index, len(cluster.workers)) if cluster else Place(0, 1)


def create_strategy(
    name: str, source: str = "tf_config", tpu: str = "", batch_size: int | None = None
) -> tf.distribute.Strategy:
    """The strategy of a name; "multi_worker_mirrored" has to come before any other operation.

    Args:
        name: "mirrored" (all GPUs of this machine, or its CPU), "one_device" (the first of
            them), "multi_worker_mirrored" (those of every machine) or "tpu".
        source: who describes the workers, see `schedulers.read_cluster`.
        tpu: name of the TPU, or what the environment says.
        batch_size: of the global batch, which the replicas must be able to share.

    Raises:
        InvalidArgument: for a cluster that cannot be, a batch not to be shared, or no such TPU.
        RunError: if a worker does not appear.
    """
    if name == "multi_worker_mirrored":
        _require_source(source)
        cluster = read_cluster(source)
        num_gpus = len(tf.config.list_physical_devices("GPU"))
        _require_shares(batch_size, max(1, num_gpus) * len(cluster.workers))
        meet(cluster)
        return _multi_worker_strategy(cluster, num_gpus)
    _require_one_worker(name, source)
    if name == "tpu":
        strategy = _tpu_strategy(tpu)
        _require_shares(batch_size, strategy.num_replicas_in_sync)
        return strategy
    devices = local_devices()
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy(devices[0])
    _require_shares(batch_size, len(devices))
    return tf.distribute.MirroredStrategy(devices)


def local_devices() -> list[str]:
    """This machine's GPUs, or its CPU where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


def meet(cluster: Cluster, seconds: float = START_SECONDS) -> None:
    """Returns when every worker of the cluster listens at its address.

    TensorFlow's own waiting can be neither interrupted nor timed, so it begins when all are
    there. Each worker listens at its port until it has reached all others; then TensorFlow's
    server takes the port over, where slower ones reach it as well.

    Raises:
        RunError: if the port is taken, or a worker does not appear in `seconds`.
    """
    missing = {i: address for i, address in enumerate(cluster.workers) if i != cluster.index}
    if not missing:
        return
    _LOGGER.info("waiting for %d worker(s) at %s", len(missing), ", ".join(missing.values()))
    deadline = time.monotonic() + seconds
    with _listen(cluster.workers[cluster.index], len(cluster.workers)):
        while True:
            missing = {i: address for i, address in missing.items() if not _is_there(address)}
            if not missing:
                return
            if time.monotonic() > deadline:
                names = ", ".join(f"worker {i} at {address}" for i, address in missing.items())
                raise RunError(f"{names} did not appear in {seconds:g} seconds")
            time.sleep(_LOOK_SECONDS)


class Workers:
    """The processes of a strategy, and what they find out together.

    Each method is called by all workers at the same point of their run, or by none.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self.place = Place(0, 1)
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            resolver = strategy.cluster_resolver
            self.place = Place(resolver.task_id, resolver.cluster_spec().num_tasks("worker"))
        self._total = tf.function(
            lambda numbers: strategy.reduce(tf.distribute.ReduceOp.SUM, numbers, axis=None),
            autograph=False,
        )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes; true where there is but one."""
        return self.place.index == 0

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on one of the workers."""
        return flag if self.place.count == 1 else self._sum([int(flag)])[0] > 0

    def agree(self, numbers: list[int]) -> bool:
        """Whether these numbers, below 2^32, are the same on all workers."""
        if self.place.count == 1:
            return True
        return self._sum(numbers) == [number * self.place.count for number in numbers]

    def wait_for_each_other(self) -> None:
        self.any(False)

    def lost_one(self, error: Exception) -> bool:
        """Whether an error says that another worker is gone."""
        gone = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
        return self.place.count > 1 and (
            isinstance(error, gone) or "Collective ops is aborted" in str(error)
        )

    def _sum(self, numbers: list[int]) -> list[int]:
        return self._total(tf.constant(numbers, tf.int64)).numpy().tolist()


def _multi_worker_strategy(cluster: Cluster, num_gpus: int) -> tf.distribute.Strategy:
    # One resolver for every source: TensorFlow's own for Slurm sorts the nodes by name, so that
    # ranks and addresses part, and that for Kubernetes doesn't know which pod this is.
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.workers)}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": num_gpus},
        rpc_layer="grpc",
    )
    try:
        with _no_longer_than(_CONNECT_SECONDS):
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise RunError(f"the workers cannot be connected ({one_line(error)})") from error


@contextlib.contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """Ends the process, with `_LOST` and status 1, if the block takes longer; Ctrl-C ends it too.

    TensorFlow holds Python's lock while it connects, so that no handler or thread of ours runs:
    signals get the system's own action (SIGTERM until TensorFlow's server takes it), and
    `faulthandler` ends the process from C; what it writes lets another process say why.
    """
    before = {n: signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGTERM)}
    say = f"import sys; sys.stdin.buffer.read() and print({_LOST!r}, file=sys.stderr)"
    # A session of its own, out of a terminal's Ctrl-C.
    with subprocess.Popen(
        [sys.executable, "-ISc", say], stdin=subprocess.PIPE, start_new_session=True
    ) as speaker:
        faulthandler.dump_traceback_later(seconds, exit=True, file=speaker.stdin)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            for number, handler in before.items():
                signal.signal(number, handler)


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or None)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        reached = f"name a TPU that can be reached ({one_line(error)})"
        raise InvalidArgument("config.training.tpu", reached, tpu or "nothing") from error
    return tf.distribute.TPUStrategy(resolver)


def _require_shares(batch_size: int | None, replicas: int) -> None:
    if batch_size is not None and batch_size % replicas:
        divisible = f"be divisible by the number of replicas ({replicas})"
        raise InvalidArgument("config.training.batch_size", divisible, batch_size)


def _require_one_worker(strategy: str, source: str) -> None:
    """Refuses what would train or draw the whole run once on every machine."""
    if strategy != "tpu" and (count := count_workers(source)) > 1:
        alone = f"describe one worker under the strategy {strategy}"
        together = "multi_worker_mirrored lets several train one model"
        raise InvalidArgument(SOURCES[source], f"{alone} ({together})", f"{count} workers")


def _require_source(source: str) -> None:
    """Refuses workers that would each be alone, as it is another source that describes them."""
    for other in SOURCES if not is_described(source) else ():
        if count_workers(other) > 1:
            right = f"be {other}, which describes this process ({SOURCES[other]})"
            raise InvalidArgument("config.training.cluster", right, source)


def _listen(address: str, backlog: int) -> socket.socket:
    port = int(address.rpartition(":")[2])
    both = socket.has_dualstack_ipv6()
    options = {"family": socket.AF_INET6, "dualstack_ipv6": True} if both else {}
    try:
        return socket.create_server(("", port), backlog=backlog, **options)
    except (OSError, OverflowError) as error:
        raise RunError(f"this worker cannot listen at {address} ({one_line(error)})") from error


def _is_there(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return True
    except (OSError, OverflowError):  # Refused, or a name that does not resolve yet.
        return False
