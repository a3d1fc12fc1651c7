"""Who starts the workers of a run, and how each learns where the others are.

No TensorFlow here, and nothing is started: a description that contradicts itself is refused.
"""

import dataclasses
import json
import os
import re
import time
from collections.abc import Mapping

from tf_mdsm.errors import InvalidArgument, RunError, one_line

__all__ = ["Cluster", "expand_counts", "expand_nodes", "is_described", "read_cluster"]

# Where Kubernetes' workers listen: one on a node, as TensorFlow's resolver takes nodes' addresses.
_NODE_PORT = 8470

# How long pods may take to run, and between two looks at them.
_POD_SECONDS, _LOOK_SECONDS = 300.0, 2.0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Workers that train together.

    Args:
        variable: the environment variable that describes them, for messages.
        workers: their addresses, "host:port", the chief's first.
        index: which of them this process is.

    Raises:
        InvalidArgument: for an address that is none or stands twice, or an index beyond them.
    """

    variable: str
    workers: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        for address in self.workers:
            if not (isinstance(address, str) and re.fullmatch(r"[^\s/]+:\d{1,5}", address)):
                raise InvalidArgument(self.variable, "give every worker a host:port", address)
            if self.workers.count(address) > 1:
                raise InvalidArgument(self.variable, "give every worker its own address", address)
        if not 0 <= self.index < len(self.workers):
            inside = f"give this process a number below that of the workers ({len(self.workers)})"
            raise InvalidArgument(self.variable, inside, self.index)


def is_described(source: str) -> bool:
    """Whether this process was started by `source`, "tf_config", "slurm" or "kubernetes"."""
    return bool(os.environ.get(_SOURCES[source][0]))


def read_cluster(source: str) -> Cluster:
    """The workers as the environment describes them.

    Args:
        source: "tf_config": the variable TF_CONFIG, which Kubernetes' training operator and
            launch/workers.sh set; "slurm": the variables of a step that srun started;
            "kubernetes": running pods, see `_from_kubernetes`.

    Raises:
        InvalidArgument: if there is no description, or it cannot be.
        RunError: if Kubernetes' pods do not come to run.
    """
    return _SOURCES[source][1](os.environ)


def _from_tf_config(environment: Mapping[str, str]) -> Cluster:
    name = "TF_CONFIG"
    text = _variable(environment, name, "be set (launch/workers.sh sets it)")
    try:
        described = json.loads(text)
        jobs, task = described["cluster"], described["task"]
        jobs = {job: list(addresses) for job, addresses in jobs.items() if addresses}
        job, index = task["type"], int(task["index"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        form = 'be {"cluster": {"worker": ["host:port", …]}, "task": {"type": …, "index": …}}'
        raise InvalidArgument(name, form, text) from error
    for other in jobs.keys() - {"chief", "worker"}:
        raise InvalidArgument(name, "have the jobs chief and worker only", other)
    if not jobs:
        raise InvalidArgument(name, 'describe a job "worker" or "chief"', text)
    if len(jobs.get("chief", ())) > 1:
        raise InvalidArgument(name, "have one chief", f"{len(jobs['chief'])} of them")
    if job not in jobs:
        raise InvalidArgument(name, f"give this process a job of {', '.join(jobs)}", job)
    if not 0 <= index < len(jobs[job]):
        inside = (
            f"give this process an index below the number of its job's tasks ({len(jobs[job])})"
        )
        raise InvalidArgument(name, inside, index)
    chiefs = jobs.get("chief", [])
    workers = (*chiefs, *jobs.get("worker", ()))
    return Cluster(name, workers, index + (len(chiefs) if job == "worker" else 0))


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    """Tasks of a Slurm step, laid out node by node (--distribution=block, srun's default).

    TensorFlow's SlurmClusterResolver sorts the nodes by name, so that n10 comes before n9 and
    ranks and addresses part; and it needs a GPU. Ports follow from the job's number: two jobs
    may share a node.
    """
    step = "be set (start the workers with srun)"
    rank, job = (_number(environment, name, step) for name in ("SLURM_PROCID", "SLURM_JOB_ID"))
    names = "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"
    nodes, tasks = (_variable(environment, name, step) for name in names)
    hosts, counts = expand_nodes(nodes), expand_counts(tasks)
    if len(hosts) != len(counts):
        raise InvalidArgument(names[1], f"count the tasks of {len(hosts)} node(s)", tasks)
    first_port = 20_000 + job % 5_000 * 8
    workers = [
        f"{host}:{first_port + i}"
        for host, count in zip(hosts, counts, strict=True)
        for i in range(count)
    ]
    return Cluster("SLURM_PROCID", tuple(workers), rank)


def expand_nodes(nodes: str) -> list[str]:
    """Slurm's short form of host names in full: "n[08-10,12],m5" has five of them."""
    numbers = r"\d+(?:-\d+)?"
    part = rf"[^,\[\]]+(?:\[{numbers}(?:,{numbers})*\][^,\[\]]*)?"
    if not re.fullmatch(f"{part}(?:,{part})*", nodes):
        raise InvalidArgument("SLURM_STEP_NODELIST", "list hosts as n[08-10,12],m5", nodes)
    hosts = []
    for prefix, ranges, suffix in re.findall(r"([^,\[\]]+)(?:\[([\d,-]+)\]([^,\[\]]*))?", nodes):
        if not ranges:
            hosts.append(prefix)
            continue
        for stretch in ranges.split(","):
            first, _, last = stretch.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts.append(f"{prefix}{number:0{len(first)}}{suffix}")
    return hosts


def expand_counts(tasks: str) -> list[int]:
    """Slurm's tasks of each node in full: "2(x3),1" is [2, 2, 2, 1]."""
    if not re.fullmatch(r"\d+(\(x\d+\))?(,\d+(\(x\d+\))?)*", tasks):
        raise InvalidArgument("SLURM_STEP_TASKS_PER_NODE", "list counts as 2(x3),1", tasks)
    runs = re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks)
    return [int(count) for count, times in runs for _ in range(int(times or 1))]


def _number(environment: Mapping[str, str], name: str, requirement: str) -> int:
    text = _variable(environment, name, requirement)
    if not text.isdigit():
        raise InvalidArgument(name, "be a number", text)
    return int(text)


def _variable(environment: Mapping[str, str], name: str, requirement: str) -> str:
    value = environment.get(name, "")
    if not value:
        requirement += " for the strategy multi_worker_mirrored"
        raise InvalidArgument(name, requirement, "nothing")
    return value


def _from_kubernetes(environment: Mapping[str, str]) -> Cluster:
    """The running pods of a label, one a node, on the nodes' own network (hostNetwork).

    TensorFlow's KubernetesClusterResolver knows the pods' addresses, but neither how many there
    will be nor which of them this is. So the pods' template sets three variables:
    TF_MDSM_PODS, the label ("job-name=cifar"); TF_MDSM_WORKERS, how many; and TF_MDSM_HOST_IP,
    by the downward API from status.hostIP. The pods' account must be allowed to list pods.
    """
    names = ("TF_MDSM_PODS", "TF_MDSM_WORKERS", "TF_MDSM_HOST_IP")
    set_it = "be set by the pods' template"
    pods, _, host = (_variable(environment, name, set_it) for name in names)
    count = _number(environment, names[1], set_it)
    workers = _running_pods(pods, count)
    own = f"{host}:{_NODE_PORT}"
    if own not in workers:
        raise InvalidArgument(names[2], f"be among the pods' nodes ({', '.join(workers)})", host)
    return Cluster(names[0], workers, workers.index(own))


def _running_pods(label: str, count: int) -> tuple[str, ...]:
    """Addresses of the pods of a label, in the order of their names, once `count` of them run."""
    try:
        import kubernetes
    except ImportError as error:
        needs = "have its package installed (pip install kubernetes), or be tf_config"
        raise InvalidArgument("config.training.cluster", needs, "kubernetes") from error
    import tensorflow as tf

    try:
        kubernetes.config.load_incluster_config()
    except kubernetes.config.ConfigException as error:
        inside = f"be used in a Kubernetes pod ({one_line(error)})"
        raise InvalidArgument("config.training.cluster", inside, "kubernetes") from error
    resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver(
        {"worker": [label]}, _NODE_PORT, override_client=kubernetes.client.CoreV1Api()
    )
    deadline = time.monotonic() + _POD_SECONDS
    while True:
        try:
            workers = tuple(resolver.cluster_spec().as_dict().get("worker", ()))
            state = f"{len(workers)} of {count} pods run"
        except RuntimeError as error:  # A pod that does not run yet.
            workers, state = (), one_line(error)
        if len(workers) == count:
            return workers
        if time.monotonic() > deadline:
            raise RunError(f"pods of {label}: {state} after {_POD_SECONDS:g} seconds")
        time.sleep(_LOOK_SECONDS)


_SOURCES = {
    "tf_config": ("TF_CONFIG", _from_tf_config),
    "slurm": ("SLURM_PROCID", _from_slurm),
    "kubernetes": ("TF_MDSM_PODS", _from_kubernetes),
}
