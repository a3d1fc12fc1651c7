"""Workers that the variable TF_CONFIG describes, TensorFlow's own description of a cluster."""

import json
from collections.abc import Mapping

from tf_mdsm.distributed.cluster_spec import ClusterSpec, required_variable
from tf_mdsm.errors import InvalidArgument

__all__ = ["read_tf_config"]

_NAME = "TF_CONFIG"


def read_tf_config(environment: Mapping[str, str]) -> ClusterSpec:
    """Reads the workers from TF_CONFIG.

    launch/workers.sh and the Kubeflow training operator set the variable. The job "chief" may have
    one task, which then has rank 0; the tasks of the job "worker" follow in their order.

    Args:
        environment: names and values of environment variables, as `os.environ`.

    Raises:
        InvalidArgument: if the variable is missing, malformed, or contradicts itself.
    """
    text = required_variable(environment, _NAME, "be set (launch/workers.sh sets it)")
    jobs, job, index = _parse(text)
    _check_jobs(jobs, text)
    if job not in jobs:
        raise InvalidArgument(_NAME, f"give this process a job of {', '.join(jobs)}", job)
    if not 0 <= index < len(jobs[job]):
        below = f"give this process an index below the number of its job's tasks ({len(jobs[job])})"
        raise InvalidArgument(_NAME, below, index)
    chiefs = jobs.get("chief", [])
    addresses = (*chiefs, *jobs.get("worker", ()))
    return ClusterSpec(_NAME, addresses, index + (len(chiefs) if job == "worker" else 0))


def _parse(text: str) -> tuple[dict[str, list[str]], str, int]:
    """Returns addresses by job without empty jobs, and the job and index of this process."""
    try:
        description = json.loads(text)
        jobs, task = description["cluster"], description["task"]
        jobs = {job: list(addresses) for job, addresses in jobs.items() if addresses}
        return jobs, str(task["type"]), int(task["index"])
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        form = 'be {"cluster": {"worker": ["host:port", …]}, "task": {"type": …, "index": …}}'
        raise InvalidArgument(_NAME, form, text) from error


def _check_jobs(jobs: Mapping[str, list[str]], text: str) -> None:
    """Refuses other jobs than "worker" and "chief", no job at all, and several chiefs."""
    for other in jobs.keys() - {"chief", "worker"}:
        raise InvalidArgument(_NAME, "have the jobs chief and worker only", other)
    if not jobs:
        raise InvalidArgument(_NAME, 'describe a job "worker" or "chief"', text)
    if len(jobs.get("chief", ())) > 1:
        raise InvalidArgument(_NAME, "have one chief", f"{len(jobs['chief'])} of them")
