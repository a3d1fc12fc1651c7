"""Descriptions of clusters and free addresses of this machine, for tests of several workers."""

import contextlib
import json
import socket

TWO_WORKERS = {"worker": ["a:1", "b:2"]}

# What srun gives to the third of four tasks on three nodes.
SLURM = {
    "SLURM_PROCID": "2",
    "SLURM_JOB_ID": "5001",
    "SLURM_STEP_NODELIST": "n[9-10],m5",
    "SLURM_STEP_TASKS_PER_NODE": "2,1(x2)",
}


def tf_config(jobs: dict, job: str = "worker", index: object = 0) -> str:
    """The variable TF_CONFIG of one process of a cluster."""
    return json.dumps({"cluster": jobs, "task": {"type": job, "index": index}})


def free_addresses(count: int) -> list[str]:
    """Addresses of this machine at which nobody listens."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [f"localhost:{server.getsockname()[1]}" for server in held]
