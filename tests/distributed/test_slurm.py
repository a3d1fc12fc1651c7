"""The workers of a Slurm step: hosts, ports, ranks, and what is refused."""

import pytest
from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver

from tests.helpers.clusters import SLURM
from tf_mdsm.distributed import slurm
from tf_mdsm.errors import InvalidArgument


def test_workers_in_the_order_of_ranks():
    """The order is not sorted by name: n9 has two tasks, then n10, then m5."""
    cluster = slurm.read_slurm_step(SLURM)
    # Job 5001 has the ports from 12000 + 16 (5001 mod 1280) = 30576.
    assert cluster.addresses == ("n9:30576", "n9:30577", "n10:30576", "m5:30576")
    assert cluster.rank == 2


def test_ports_lie_below_those_of_clients():
    """Each of 1280 jobs in a row has 16 ports of its own, below 32768."""
    tasks = {"SLURM_STEP_NODELIST": "n", "SLURM_STEP_TASKS_PER_NODE": "16"}
    ports = [
        int(address.split(":")[1])
        for job in range(5000, 5000 + 1280)
        for address in slurm.read_slurm_step({**SLURM, **tasks, "SLURM_JOB_ID": str(job)}).addresses
    ]
    assert len(set(ports)) == 1280 * 16
    assert min(ports) == 12_000
    assert max(ports) == 32_479


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SLURM_PROCID", "", "must be set .start the workers with srun"),
        ("SLURM_JOB_ID", "", "must be set"),
        ("SLURM_STEP_NODELIST", "", "must be set"),
        ("SLURM_STEP_TASKS_PER_NODE", "", "must be set"),
        ("SLURM_PROCID", "x", "be a number"),
        ("SLURM_PROCID", "4", r"below that of the workers \(4\). Received: 4"),
        ("SLURM_STEP_NODELIST", "n[9-", "list hosts as"),
        ("SLURM_STEP_NODELIST", "n[9-10]", "count the tasks of 2 node"),
        ("SLURM_STEP_TASKS_PER_NODE", "2(x", "list counts as"),
        ("SLURM_STEP_TASKS_PER_NODE", "1,1,17", "at most 16 tasks a node"),
    ],
)
def test_wrong_variables_are_refused(name, value, message):
    with pytest.raises(InvalidArgument, match=message):
        slurm.read_slurm_step({**SLURM, name: value})


@pytest.mark.parametrize("nodes", ["n1", "n[1-3]", "n[08-11,14],m5", "gpu-a,gpu-b[1,3-4],x"])
def test_node_lists_expand_as_in_tensorflow(nodes):
    assert slurm.expand_node_list(nodes) == slurm_cluster_resolver.expand_hostlist(nodes)


@pytest.mark.parametrize("tasks", ["1", "2(x3)", "3(x2),2,1"])
def test_task_counts_expand_as_in_tensorflow(tasks):
    theirs = slurm_cluster_resolver.expand_tasks_per_node(tasks)
    assert slurm.expand_task_counts(tasks) == theirs
