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

__all__ = [
    "SOURCES",
    "Cluster",
    "count_workers",
    "expand_counts",
    "expand_nodes",
    "is_described",
    "read_cluster",
]

# By whom workers are started, and a variable that every one of theirs has and no other process.
# A plain batch script of Slurm has SLURM_PROCID as well.
SOURCES = {
    "tf_config": "TF_CONFIG",
    "slurm": "SLURM_STEP_NODELIST",
    "kubernetes": "TF_MDSM_WORKERS",
}

# Where Kubernetes' workers listen: each pod has its own address.
_POD_PORT = 8470
_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

# Slurm's jobs get 16 ports each, 12000 to 32479: below those that Linux gives to clients (32768
# on). Jobs whose numbers differ by a multiple of 1280 must not share a node.
_FIRST_PORT, _PORTS, _PORT_RANGES = 12_000, 16, 1_280

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
    # Some launchers set TF_CONFIG={} where there is no cluster.
    return os.environ.get(SOURCES[source], "").strip() not in ("", "{}")


def count_workers(source: str) -> int:
    """How many workers `source` says there are, 0 where it says nothing; asks nobody else."""
    if not is_described(source):
        return 0
    if source == "kubernetes":
        return _number(os.environ, SOURCES[source], "be set by the pods' template")
    return len(read_cluster(source).workers)


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
    readers = {
        "tf_config": _from_tf_config,
        "slurm": _from_slurm,
        "kubernetes": _from_kubernetes,
    }
    return readers[source](os.environ)


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
    may share a node, where each has at most 16 tasks.
    """
    step = "be set (start the workers with srun)"
    rank, job = (_number(environment, name, step) for name in ("SLURM_PROCID", "SLURM_JOB_ID"))
    names = "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE"
    nodes, tasks = (_variable(environment, name, step) for name in names)
    hosts, counts = expand_nodes(nodes), expand_counts(tasks)
    if len(hosts) != len(counts):
        raise InvalidArgument(names[1], f"count the tasks of {len(hosts)} node(s)", tasks)
    if max(counts) > _PORTS:
        raise InvalidArgument(names[1], f"have at most {_PORTS} tasks a node", tasks)
    first_port = _FIRST_PORT + job % _PORT_RANGES * _PORTS
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
    """The running pods of a label in this one's namespace; launch/kubernetes/pods.yaml.

    TensorFlow's KubernetesClusterResolver takes pods of all namespaces, fails at any that has
    ended, and knows neither how many there will be nor which of them this is.
    """
    names = ("TF_MDSM_PODS", "TF_MDSM_WORKERS", "TF_MDSM_POD")
    set_it = "be set by the pods' template (launch/kubernetes/pods.yaml)"
    label, _, own = (_variable(environment, name, set_it) for name in names)
    pods = _running_pods(label, _number(environment, names[1], set_it))
    if own not in pods:
        raise InvalidArgument(names[2], f"be among the pods of {label} ({', '.join(pods)})", own)
    hosts = (f"[{host}]" if ":" in host else host for host in pods.values())
    workers = tuple(f"{host}:{_POD_PORT}" for host in hosts)
    return Cluster(names[0], workers, list(pods).index(own))


def _running_pods(label: str, count: int) -> dict[str, str]:
    """Names and addresses of a label's pods, in the order of names, once `count` of them run."""
    try:
        import kubernetes
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        needs = "have its package installed (pip install kubernetes), or be tf_config"
        raise InvalidArgument("config.training.cluster", needs, "kubernetes") from error
    try:
        kubernetes.config.load_incluster_config()
        with open(_NAMESPACE_FILE, encoding="utf-8") as file:
            namespace = file.read().strip()
    except (kubernetes.config.ConfigException, OSError) as error:
        inside = f"be used in a Kubernetes pod with an account ({one_line(error)})"
        raise InvalidArgument("config.training.cluster", inside, "kubernetes") from error
    api = kubernetes.client.CoreV1Api()
    deadline = time.monotonic() + _POD_SECONDS
    while True:
        try:
            listed = api.list_namespaced_pod(namespace, label_selector=label).items
            pods = {pod.metadata.name: pod.status.pod_ip for pod in listed if _runs(pod)}
            state = f"{len(pods)} of {count} run"
            if len(pods) == count:
                return dict(sorted(pods.items()))
        except kubernetes.client.ApiException as error:
            state = f"cannot be listed ({error.status} {error.reason})"
            if error.status in (400, 401, 403):
                raise RunError(f"pods of {label} in {namespace}: {state}") from error
        except HTTPError as error:
            state = f"cannot be listed ({one_line(error)})"
        if time.monotonic() > deadline:
            raise RunError(f"pods of {label} in {namespace}: {state} after {_POD_SECONDS:g} s")
        time.sleep(_LOOK_SECONDS)


def _runs(pod) -> bool:
    """Whether a pod has neither ended nor been told to."""
    status = pod.status
    return status.phase == "Running" and status.pod_ip and not pod.metadata.deletion_timestamp
