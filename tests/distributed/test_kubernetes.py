"""Workers that are pods of Kubernetes, listed by a stand-in of its API."""

import sys
import types

import pytest
from urllib3.exceptions import HTTPError

from tf_mdsm.distributed import kubernetes
from tf_mdsm.distributed.kubernetes import read_kubernetes_pods
from tf_mdsm.errors import InvalidArgument, RunError

# This process is the pod cifar-1 of two.
ENVIRONMENT = {
    "TF_MDSM_PODS": "job-name=cifar",
    "TF_MDSM_WORKERS": "2",
    "TF_MDSM_POD": "cifar-1",
}
A, B = ("cifar-0", "Running", "10.0.0.1"), ("cifar-1", "Running", "fd00::2")


class Refused(Exception):
    """The error of Kubernetes's client for an answer that is not a list."""

    def __init__(self, status: int, reason: str):
        self.status, self.reason = status, reason


class Api:
    """Kubernetes's API: answers each request by the next of its answers, the last one for ever.

    An answer is a list of pods (name, phase, address), or an error.
    """

    def __init__(self):
        self.answers: list = [[A, B]]

    def list_namespaced_pod(self, namespace: str, label_selector: str):
        assert (namespace, label_selector) == ("mine", "job-name=cifar")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return types.SimpleNamespace(items=[pod(*each) for each in answer])


def pod(name: str, phase: str, address: str | None, deleted_at: str | None = None):
    return types.SimpleNamespace(
        metadata=types.SimpleNamespace(name=name, deletion_timestamp=deleted_at),
        status=types.SimpleNamespace(phase=phase, pod_ip=address),
    )


@pytest.fixture(autouse=True)
def api(monkeypatch, tmp_path):
    """Makes this process a pod, with a client of that API; nothing waits."""
    api = Api()
    package = types.ModuleType("kubernetes")
    package.client = types.SimpleNamespace(CoreV1Api=lambda: api, ApiException=Refused)
    package.config = types.SimpleNamespace(
        load_incluster_config=lambda: None, ConfigException=ValueError
    )
    monkeypatch.setitem(sys.modules, "kubernetes", package)
    (tmp_path / "namespace").write_text("mine\n")
    monkeypatch.setattr(kubernetes, "_NAMESPACE_FILE", str(tmp_path / "namespace"))
    monkeypatch.setattr(kubernetes, "_POLL_SECONDS", 0.0)
    return api


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(kubernetes, "_POD_SECONDS", 0.0)


def test_ranks_follow_the_names(api):
    """Pods are listed in any order; pods that have ended or are being deleted do not count."""
    others = [
        ("cifar-00", "Failed", "10.0.0.8"),
        ("cifar-01", "Succeeded", "10.0.0.9"),
        ("cifar-02", "Running", "10.0.0.7", "now"),
    ]
    api.answers = [[B, *others, A]]
    cluster = read_kubernetes_pods(ENVIRONMENT)
    assert cluster.addresses == ("10.0.0.1:8470", "[fd00::2]:8470")
    assert cluster.rank == 1


def test_pods_are_awaited(api):
    """Also while the API is overloaded or not reached."""
    api.answers = [[B], Refused(503, "Busy"), HTTPError("no route"), [A, B]]
    assert read_kubernetes_pods(ENVIRONMENT).world_size == 2


def test_a_pod_that_is_not_among_the_workers_is_refused():
    with pytest.raises(InvalidArgument, match="be among the pods of job-name=cifar"):
        read_kubernetes_pods({**ENVIRONMENT, "TF_MDSM_POD": "other"})


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_all_variables_must_be_set(name):
    with pytest.raises(InvalidArgument, match=rf"{name}` must be set .*pods.yaml"):
        read_kubernetes_pods({**ENVIRONMENT, name: ""})


@pytest.mark.parametrize("others", [[], [("cifar-0", "Pending", None)], [A, ("c", *A[1:])]])
def test_pods_that_do_not_run_in_time(api, impatient, others):
    api.answers = [[B, *others]]
    number = 3 if len(others) == 2 else 1
    with pytest.raises(RunError, match=f"job-name=cifar in mine: {number} of 2 run after"):
        read_kubernetes_pods(ENVIRONMENT)


def test_an_api_that_is_not_reached_in_time(api, impatient):
    api.answers = [HTTPError("no route")]
    with pytest.raises(RunError, match=r"cannot be listed \(no route\) after"):
        read_kubernetes_pods(ENVIRONMENT)


def test_an_account_without_the_right_to_list_pods_is_reported_at_once(api):
    api.answers = [Refused(403, "Forbidden"), [A, B]]
    with pytest.raises(RunError, match=r"cannot be listed \(403 Forbidden"):
        read_kubernetes_pods(ENVIRONMENT)


def test_the_package_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(InvalidArgument, match="pip install kubernetes"):
        read_kubernetes_pods(ENVIRONMENT)


def test_a_process_outside_of_a_pod_is_refused(monkeypatch):
    monkeypatch.setattr(kubernetes, "_NAMESPACE_FILE", "/nowhere/namespace")
    with pytest.raises(InvalidArgument, match="be used in a Kubernetes pod with an account"):
        read_kubernetes_pods(ENVIRONMENT)
