"""Workers that are pods of Kubernetes with one label, found through the Kubernetes API."""

import time
import types
from collections.abc import Mapping
from typing import Any

from tf_mdsm.distributed.cluster_spec import ClusterSpec, required_number, required_variable
from tf_mdsm.errors import InvalidArgument, RunError, one_line

__all__ = ["read_kubernetes_pods", "read_worker_count"]

# Environment variables that launch/kubernetes/pods.yaml sets.
_LABEL, _WORKER_COUNT, _POD_NAME = "TF_MDSM_PODS", "TF_MDSM_WORKERS", "TF_MDSM_POD"
_SET_BY = "be set by the pods' template (launch/kubernetes/pods.yaml)"

# All workers listen at the same port, since every pod has its own address.
_POD_PORT = 8470
_NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

# Seconds that all pods may take until they run, and seconds between two requests for their list.
_POD_SECONDS, _POLL_SECONDS = 300.0, 2.0


def read_kubernetes_pods(environment: Mapping[str, str]) -> ClusterSpec:
    """Reads the workers from the running pods that have a label, in the namespace of this pod.

    Ranks follow the names of the pods. Waits until the expected number of pods run.

    TensorFlow's KubernetesClusterResolver is not used: it lists the pods of all namespaces, fails
    at a pod that has ended, and knows neither the expected number of pods nor which one this is.

    Args:
        environment: names and values of environment variables, as `os.environ`.

    Raises:
        InvalidArgument: if a variable is missing or malformed, this pod is not among the listed
            ones, or this process runs in no pod.
        RunError: if the pods do not run in time, or may not be listed.
    """
    label = required_variable(environment, _LABEL, _SET_BY)
    count = read_worker_count(environment)
    own_name = required_variable(environment, _POD_NAME, _SET_BY)

    pods = _wait_for_pods(label, count)
    if own_name not in pods:
        among = f"be among the pods of {label} ({', '.join(pods)})"
        raise InvalidArgument(_POD_NAME, among, own_name)
    hosts = (f"[{host}]" if ":" in host else host for host in pods.values())
    addresses = tuple(f"{host}:{_POD_PORT}" for host in hosts)
    return ClusterSpec(_LABEL, addresses, list(pods).index(own_name))


def read_worker_count(environment: Mapping[str, str]) -> int:
    """Returns the expected number of workers, without a request to the Kubernetes API.

    Raises:
        InvalidArgument: if the variable is missing, or not a number.
    """
    return required_number(environment, _WORKER_COUNT, _SET_BY)


def _wait_for_pods(label: str, count: int) -> dict[str, str]:
    """Returns the addresses of a label's pods by name, sorted, as soon as `count` of them run."""
    kubernetes, connection_error = _import_client()
    namespace = _load_service_account(kubernetes)
    api = kubernetes.client.CoreV1Api()
    deadline = time.monotonic() + _POD_SECONDS
    while True:
        try:
            listed = api.list_namespaced_pod(namespace, label_selector=label).items
            pods = {pod.metadata.name: pod.status.pod_ip for pod in listed if _is_running(pod)}
            state = f"{len(pods)} of {count} run"
            if len(pods) == count:
                return dict(sorted(pods.items()))
        except kubernetes.client.ApiException as error:
            state = f"cannot be listed ({error.status} {error.reason})"
            # A malformed label and missing rights do not improve with time.
            if error.status in (400, 401, 403):
                raise RunError(f"pods of {label} in {namespace}: {state}") from error
        except connection_error as error:
            state = f"cannot be listed ({one_line(error)})"
        if time.monotonic() > deadline:
            raise RunError(f"pods of {label} in {namespace}: {state} after {_POD_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)


def _import_client() -> tuple[types.ModuleType, type[Exception]]:
    """Returns the client library of Kubernetes, and its error where the API is not reached."""
    try:
        import kubernetes
        from urllib3.exceptions import HTTPError
    except ImportError as error:
        needs = "have its package installed (pip install kubernetes), or be tf_config"
        raise InvalidArgument("config.training.cluster", needs, "kubernetes") from error
    return kubernetes, HTTPError


def _load_service_account(kubernetes: types.ModuleType) -> str:
    """Gives the client library the service account of this pod; returns the pod's namespace."""
    try:
        kubernetes.config.load_incluster_config()
        with open(_NAMESPACE_FILE, encoding="utf-8") as file:
            return file.read().strip()
    except (kubernetes.config.ConfigException, OSError) as error:
        in_a_pod = f"be used in a Kubernetes pod with an account ({one_line(error)})"
        raise InvalidArgument("config.training.cluster", in_a_pod, "kubernetes") from error


def _is_running(pod: Any) -> bool:
    """Whether a pod (V1Pod) runs, has an address, and is not being deleted."""
    status, is_deleted = pod.status, bool(pod.metadata.deletion_timestamp)
    return status.phase == "Running" and bool(status.pod_ip) and not is_deleted
