"""Sources of a cluster's description (TF_CONFIG, Slurm, Kubernetes), and the rank of this process.

Nothing here imports TensorFlow or starts a server.
"""

import os
from typing import NamedTuple

from tf_mdsm.distributed.cluster_spec import ClusterSpec
from tf_mdsm.distributed.kubernetes import read_kubernetes_pods, read_worker_count
from tf_mdsm.distributed.slurm import read_slurm_step
from tf_mdsm.distributed.tf_config import read_tf_config
from tf_mdsm.errors import InvalidArgument

__all__ = [
    "SOURCES",
    "WorkerRank",
    "read_cluster_spec",
    "read_worker_rank",
    "require_described_by",
    "require_one_worker",
]

# Values of `config.training.cluster`, each with an environment variable that all workers started
# this way have, and no other process. (SLURM_PROCID is also set in a batch script of Slurm, outside
# of any step.)
SOURCES = {
    "tf_config": "TF_CONFIG",
    "slurm": "SLURM_STEP_NODELIST",
    "kubernetes": "TF_MDSM_WORKERS",
}


class WorkerRank(NamedTuple):
    """Rank of this process among the `world_size` workers; the chief has rank 0."""

    rank: int
    world_size: int


def read_worker_rank(strategy: str, source: str) -> WorkerRank:
    """Returns the rank of this process; (0, 1) where nothing describes a cluster.

    Starts neither TensorFlow's servers nor its runtime.

    Args:
        strategy: name of a strategy, as `config.training.strategy`.
        source: what describes the workers, as `config.training.cluster`.

    Raises:
        InvalidArgument: for a malformed description, workers that another source describes, or
            several workers under a strategy for one machine.
        RunError: if the pods of Kubernetes do not run in time.
    """
    if strategy != "multi_worker_mirrored":
        require_one_worker(strategy, source)
        return WorkerRank(0, 1)
    require_described_by(source)
    if not _is_described(source):
        return WorkerRank(0, 1)
    cluster = read_cluster_spec(source)
    return WorkerRank(cluster.rank, cluster.world_size)


def read_cluster_spec(source: str) -> ClusterSpec:
    """Reads the workers of this process's cluster.

    Args:
        source: "tf_config": the variable TF_CONFIG, which the Kubeflow training operator and
            launch/workers.sh set; "slurm": the variables of a step that srun started;
            "kubernetes": the running pods that have a label.

    Raises:
        InvalidArgument: for a missing or malformed description.
        RunError: if the pods of Kubernetes do not run in time.
    """
    readers = {
        "tf_config": read_tf_config,
        "slurm": read_slurm_step,
        "kubernetes": read_kubernetes_pods,
    }
    return readers[source](os.environ)


def require_one_worker(strategy: str, source: str) -> None:
    """Refuses several workers under a strategy for one machine: each would do the whole run.

    Raises:
        InvalidArgument: if `source` describes several workers.
    """
    if strategy != "tpu" and (count := _count_workers(source)) > 1:
        requirement = f"describe one worker under the strategy {strategy}"
        alternative = "multi_worker_mirrored lets several train one model"
        raise InvalidArgument(SOURCES[source], f"{requirement} ({alternative})", f"{count} workers")


def require_described_by(source: str) -> None:
    """Refuses workers that another source describes: each would run as if it were the only one.

    Raises:
        InvalidArgument: if `source` describes nothing, and another source several workers.
    """
    if _is_described(source):
        return
    for other, variable in SOURCES.items():
        if _count_workers(other) > 1:
            requirement = f"be {other}, which describes this process ({variable})"
            raise InvalidArgument("config.training.cluster", requirement, source)


def _is_described(source: str) -> bool:
    """Whether the environment holds a description by `source`."""
    # Some launchers set TF_CONFIG={} where there is no cluster.
    return os.environ.get(SOURCES[source], "").strip() not in ("", "{}")


def _count_workers(source: str) -> int:
    """Number of workers that `source` describes, 0 without a description; makes no request."""
    if not _is_described(source):
        return 0
    if source == "kubernetes":
        return read_worker_count(os.environ)
    return read_cluster_spec(source).world_size
