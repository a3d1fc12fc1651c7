"""TF_CONFIG: the workers that it describes, and what is refused."""

import json

import pytest

from tests.helpers.clusters import TWO_WORKERS, tf_config
from tf_mdsm.distributed.tf_config import read_tf_config
from tf_mdsm.errors import InvalidArgument


@pytest.mark.parametrize(
    ("jobs", "job", "index", "addresses", "rank"),
    [
        (TWO_WORKERS, "worker", 1, ("a:1", "b:2"), 1),
        ({"chief": ["c:1"], **TWO_WORKERS}, "chief", 0, ("c:1", "a:1", "b:2"), 0),
        ({**TWO_WORKERS, "chief": ["c:1"]}, "worker", 0, ("c:1", "a:1", "b:2"), 1),
        ({"chief": ["c:1"]}, "chief", 0, ("c:1",), 0),
        ({"worker": ["mdsm-0.ns.svc:2222"], "ps": []}, "worker", "0", ("mdsm-0.ns.svc:2222",), 0),
    ],
)
def test_the_chief_has_rank_0_and_the_workers_follow(jobs, job, index, addresses, rank):
    cluster = read_tf_config({"TF_CONFIG": tf_config(jobs, job, index)})
    assert cluster.addresses == addresses
    assert cluster.rank == rank


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"must be set .* Received: nothing"),
        ("{", "must be {"),
        ("[]", "must be {"),
        (json.dumps({"cluster": TWO_WORKERS}), "must be {"),
        (json.dumps({"task": {"type": "worker", "index": 0}}), "must be {"),
        (tf_config({}), 'must describe a job "worker" or "chief"'),
        (tf_config({**TWO_WORKERS, "ps": ["p:1"]}), "jobs chief and worker only. Received: ps"),
        (tf_config({**TWO_WORKERS, "evaluator": ["p:1"]}), "worker only. Received: evaluator"),
        (tf_config({"chief": ["a:1", "b:1"]}, "chief"), "have one chief"),
        (tf_config(TWO_WORKERS, "chief"), "give this process a job of worker. Received: chief"),
        (tf_config(TWO_WORKERS, index=2), r"its job's tasks \(2\). Received: 2"),
        (tf_config(TWO_WORKERS, ["worker"]), "a job of worker. Received: .'worker'."),
        (tf_config(TWO_WORKERS, index=float("inf")), "must be {"),
        (tf_config(TWO_WORKERS, index=-1), r"its job's tasks \(2\). Received: -1"),
        (tf_config({"chief": ["a:1"], "worker": ["a:1"]}), "its own address. Received: a:1"),
        (tf_config({"worker": [7]}), "a host:port. Received: 7"),
    ],
)
def test_a_wrong_description_is_refused(text, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        read_tf_config({"TF_CONFIG": text})
    assert caught.value.field == "TF_CONFIG"


def test_a_missing_variable_is_refused():
    with pytest.raises(InvalidArgument, match=r"TF_CONFIG` must be set .* Received: nothing"):
        read_tf_config({})
