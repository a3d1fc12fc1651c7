"""Workers that are the tasks of a Slurm step: host names, task counts and ports."""

import re
from collections.abc import Mapping

from tf_mdsm.distributed.cluster_spec import ClusterSpec, required_number, required_variable
from tf_mdsm.errors import InvalidArgument

__all__ = ["expand_node_list", "expand_task_counts", "read_slurm_step"]

# Every job has 16 ports between 12000 and 32479, below those that Linux gives to clients (from
# 32768). Jobs whose numbers differ by a multiple of 1280 have the same ports and must not share a
# node.
_FIRST_PORT, _PORTS_PER_JOB, _NUM_PORT_RANGES = 12_000, 16, 1_280


def read_slurm_step(environment: Mapping[str, str]) -> ClusterSpec:
    """Reads the workers from the variables that srun gives to the tasks of a step.

    Ranks follow the nodes (--distribution=block, the default of srun). Ports follow from the
    job's number, since two jobs may share a node; a job may have at most 16 tasks on each node.

    TensorFlow's SlurmClusterResolver is not used: it sorts the nodes by name, so that n10 comes
    before n9 and addresses no longer match ranks, and it needs a GPU.

    Args:
        environment: names and values of environment variables, as `os.environ`.

    Raises:
        InvalidArgument: if a variable is missing or malformed, or the variables contradict each
            other.
    """
    set_by = "be set (start the workers with srun)"
    rank = required_number(environment, "SLURM_PROCID", set_by)
    job = required_number(environment, "SLURM_JOB_ID", set_by)
    nodes = required_variable(environment, "SLURM_STEP_NODELIST", set_by)
    tasks_name = "SLURM_STEP_TASKS_PER_NODE"
    tasks = required_variable(environment, tasks_name, set_by)

    hosts, counts = expand_node_list(nodes), expand_task_counts(tasks)
    if len(hosts) != len(counts):
        raise InvalidArgument(tasks_name, f"count the tasks of {len(hosts)} node(s)", tasks)
    if max(counts) > _PORTS_PER_JOB:
        raise InvalidArgument(tasks_name, f"have at most {_PORTS_PER_JOB} tasks a node", tasks)

    first_port = _FIRST_PORT + job % _NUM_PORT_RANGES * _PORTS_PER_JOB
    addresses = [
        f"{host}:{first_port + task}"
        for host, count in zip(hosts, counts, strict=True)
        for task in range(count)
    ]
    return ClusterSpec("SLURM_PROCID", tuple(addresses), rank)


def expand_node_list(nodes: str) -> list[str]:
    """Expands Slurm's short form of host names: "n[08-10,12],m5" gives five names.

    Raises:
        InvalidArgument: for a malformed list.
    """
    numbers = r"\d+(?:-\d+)?"
    part = rf"[^,\[\]]+(?:\[{numbers}(?:,{numbers})*\][^,\[\]]*)?"
    if not re.fullmatch(f"{part}(?:,{part})*", nodes):
        raise InvalidArgument("SLURM_STEP_NODELIST", "list hosts as n[08-10,12],m5", nodes)
    hosts = []
    for prefix, ranges, suffix in re.findall(r"([^,\[\]]+)(?:\[([\d,-]+)\]([^,\[\]]*))?", nodes):
        if not ranges:
            hosts.append(prefix)
            continue
        for number_range in ranges.split(","):
            first, _, last = number_range.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts.append(f"{prefix}{number:0{len(first)}}{suffix}")
    return hosts


def expand_task_counts(tasks: str) -> list[int]:
    """Expands Slurm's short form of the tasks of each node: "2(x3),1" gives [2, 2, 2, 1].

    Raises:
        InvalidArgument: for a malformed list.
    """
    if not re.fullmatch(r"\d+(\(x\d+\))?(,\d+(\(x\d+\))?)*", tasks):
        raise InvalidArgument("SLURM_STEP_TASKS_PER_NODE", "list counts as 2(x3),1", tasks)
    repeated = re.findall(r"(\d+)(?:\(x(\d+)\))?", tasks)
    return [int(count) for count, times in repeated for _ in range(int(times or 1))]
