"""Workers wait for each other before TensorFlow connects them."""

import contextlib
import re
import socket
import threading
import time

import pytest

from tests.helpers.clusters import free_addresses
from tf_mdsm.distributed import rendezvous
from tf_mdsm.distributed.cluster_spec import ClusterSpec
from tf_mdsm.errors import RunError


def test_workers_wait_for_each_other(monkeypatch):
    """Each returns when all listen, and can then listen again, as TensorFlow's server does."""
    monkeypatch.setattr(rendezvous, "_POLL_SECONDS", 0.02)
    addresses = tuple(free_addresses(3))
    all_returned = threading.Barrier(3)
    last_started, returned = [], []

    def worker(index: int) -> None:
        time.sleep(0.1 * index)
        if index == 2:
            last_started.append(time.monotonic())
        rendezvous.wait_for_workers(ClusterSpec("TF_CONFIG", addresses, index), 30)
        returned.append(time.monotonic())
        with socket.create_server(("", int(addresses[index].split(":")[1]))):
            all_returned.wait(30)

    threads = [threading.Thread(target=worker, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(returned) == 3
    assert min(returned) >= last_started[0]
    assert not all_returned.broken


def test_a_single_worker_waits_for_nobody():
    rendezvous.wait_for_workers(ClusterSpec("TF_CONFIG", ("nowhere:1",), 0), 0)


def test_a_worker_that_never_appears_is_named(monkeypatch):
    monkeypatch.setattr(rendezvous, "_POLL_SECONDS", 0.02)
    addresses = free_addresses(2)
    waiting = ClusterSpec("TF_CONFIG", tuple(addresses), 0)
    missing = re.escape(f"worker 1 at {addresses[1]} did not appear in 0.1 seconds")
    with pytest.raises(RunError, match=missing):
        rendezvous.wait_for_workers(waiting, 0.1)


def test_a_port_in_use_is_named():
    with socket.create_server(("", 0)) as other:
        own = f"localhost:{other.getsockname()[1]}"
        waiting = ClusterSpec("TF_CONFIG", (own, "localhost:1"), 0)
        with pytest.raises(RunError, match=f"cannot listen at {own}"):
            rendezvous.wait_for_workers(waiting, 0.1)


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="there is no IPv6")
def test_workers_listen_by_ipv4_and_ipv6():
    with contextlib.ExitStack() as stack:
        (address,) = free_addresses(1)
        port = int(address.split(":")[1])
        stack.enter_context(rendezvous._listen(address, 2))
        for host in ("127.0.0.1", "[::1]"):
            assert rendezvous._is_listening(f"{host}:{port}"), host
