"""The description of a cluster: its addresses, the rank of this process, its variables."""

import pytest

from tf_mdsm.distributed.cluster_spec import ClusterSpec, required_number, required_variable
from tf_mdsm.errors import InvalidArgument


def test_the_world_is_all_addresses():
    cluster = ClusterSpec("VARIABLE", ("a:1", "[fd00::2]:65535", "a:2"), 2)
    assert cluster.world_size == 3


@pytest.mark.parametrize(
    ("addresses", "rank", "message"),
    [
        (("a",), 0, "a host:port. Received: a"),
        (("a:",), 0, "a host:port. Received: a:"),
        (("http://a:1",), 0, "a host:port"),
        (("a:123456",), 0, "a host:port"),
        ((7,), 0, "a host:port. Received: 7"),
        (("a:1", "b:1", "a:1"), 0, "its own address. Received: a:1"),
        (("a:1", "b:1"), 2, r"below that of the workers \(2\). Received: 2"),
        (("a:1", "b:1"), -1, r"below that of the workers \(2\). Received: -1"),
        ((), 0, r"below that of the workers \(0\). Received: 0"),
    ],
)
def test_a_wrong_cluster_is_refused(addresses, rank, message):
    with pytest.raises(InvalidArgument, match=message) as caught:
        ClusterSpec("VARIABLE", addresses, rank)
    assert caught.value.field == "VARIABLE"


def test_a_variable_that_is_needed():
    environment = {"HOST": "a", "COUNT": "012", "EMPTY": "", "WORD": "-1"}
    assert required_variable(environment, "HOST", "be set") == "a"
    assert required_number(environment, "COUNT", "be set") == 12
    for name in ("EMPTY", "MISSING"):
        for read in (required_variable, required_number):
            with pytest.raises(InvalidArgument, match=f"{name}` must be set by srun for the strat"):
                read(environment, name, "be set by srun")
    with pytest.raises(InvalidArgument, match=r"WORD` must be a number\. Received: -1"):
        required_number(environment, "WORD", "be set")
