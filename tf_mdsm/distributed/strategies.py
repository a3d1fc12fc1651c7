"""Strategies of tf.distribute by name, and the devices of this machine."""

import tensorflow as tf

from tf_mdsm.distributed.cluster_sources import (
    read_cluster_spec,
    require_described_by,
    require_one_worker,
)
from tf_mdsm.distributed.cluster_spec import ClusterSpec
from tf_mdsm.distributed.rendezvous import wait_for_workers
from tf_mdsm.distributed.watchdog import exit_after
from tf_mdsm.errors import InvalidArgument, RunError, one_line

__all__ = ["create_strategy", "local_devices"]

# Seconds that workers may take to connect once all listen; each also initializes its GPUs then.
_CONNECT_SECONDS = 60.0
_LOST_WHILE_CONNECTING = "tf_mdsm: a worker was lost while connecting; start all workers again"


def create_strategy(
    name: str, source: str = "tf_config", tpu: str = "", batch_size: int | None = None
) -> tf.distribute.Strategy:
    """Creates the strategy of a name.

    "multi_worker_mirrored" must be created before any other operation of TensorFlow.

    Args:
        name: "mirrored" (all GPUs of this machine, or its CPU), "one_device" (the first of these
            devices), "multi_worker_mirrored" (all GPUs of several machines) or "tpu" (has not been
            tried on a TPU).
        source: what describes the workers, as `config.training.cluster`.
        tpu: name of the TPU; empty: the environment names it.
        batch_size: size of the global batch, which must be divisible by the number of replicas.

    Raises:
        InvalidArgument: for a malformed description of the cluster, a batch size that is not
            divisible by the number of replicas, or a TPU that cannot be reached.
        RunError: if a worker does not appear, or the workers cannot be connected.
    """
    if name == "multi_worker_mirrored":
        require_described_by(source)
        cluster = read_cluster_spec(source)
        num_gpus = len(tf.config.list_physical_devices("GPU"))
        _require_divisible(batch_size, max(1, num_gpus) * cluster.world_size)
        wait_for_workers(cluster)
        return _connect_workers(cluster, num_gpus)
    require_one_worker(name, source)
    if name == "tpu":
        strategy = _connect_tpu(tpu)
        _require_divisible(batch_size, strategy.num_replicas_in_sync)
        return strategy
    devices = local_devices()
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy(devices[0])
    _require_divisible(batch_size, len(devices))
    return tf.distribute.MirroredStrategy(devices)


def local_devices() -> list[str]:
    """Returns the names of this machine's GPUs, or of its CPU where there is no GPU."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in devices]


def _connect_workers(cluster: ClusterSpec, num_gpus: int) -> tf.distribute.Strategy:
    """Creates a MultiWorkerMirroredStrategy; ends the process if that hangs."""
    # The same resolver for every source: TensorFlow's own resolvers for Slurm and Kubernetes do
    # not fit, as `slurm` and `kubernetes` explain.
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.rank,
        num_accelerators={"GPU": num_gpus},
        rpc_layer="grpc",
    )
    try:
        with exit_after(_CONNECT_SECONDS, _LOST_WHILE_CONNECTING):
            return tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except (tf.errors.OpError, RuntimeError) as error:
        raise RunError(f"the workers cannot be connected ({one_line(error)})") from error


def _connect_tpu(tpu: str) -> tf.distribute.Strategy:
    """Creates a TPUStrategy for the TPU of a name, or for the one that the environment names."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu or None)
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        reached = f"name a TPU that can be reached ({one_line(error)})"
        raise InvalidArgument("config.training.tpu", reached, tpu or "nothing") from error
    return tf.distribute.TPUStrategy(resolver)


def _require_divisible(batch_size: int | None, num_replicas: int) -> None:
    """Refuses a global batch that the replicas cannot share equally."""
    if batch_size is not None and batch_size % num_replicas:
        divisible = f"be divisible by the number of replicas ({num_replicas})"
        raise InvalidArgument("config.training.batch_size", divisible, batch_size)
