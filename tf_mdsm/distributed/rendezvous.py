"""Rendezvous of the workers: waiting until every worker of a cluster listens at its address."""

import logging
import socket
import time

from tf_mdsm.distributed.cluster_spec import ClusterSpec
from tf_mdsm.errors import RunError, one_line

__all__ = ["wait_for_workers"]

_LOGGER = logging.getLogger(__name__)

# Seconds that all workers may take to listen, and seconds between two attempts to reach them.
_START_SECONDS, _POLL_SECONDS = 300.0, 0.5


def wait_for_workers(cluster: ClusterSpec, wait_seconds: float = _START_SECONDS) -> None:
    """Returns when every worker of the cluster listens at its address.

    TensorFlow's own waiting can be neither interrupted nor limited in time; so it starts only
    when all workers are there. Each worker listens at its port until it has reached all others.
    Then TensorFlow's server takes over the port, where slower workers reach it as well.

    Args:
        cluster: the workers, and which of them this process is.
        wait_seconds: how long to wait for the others.

    Raises:
        RunError: if the port of this worker is in use, or another worker does not appear in time.
    """
    missing = dict(enumerate(cluster.addresses))
    del missing[cluster.rank]
    if not missing:
        return
    _LOGGER.info("waiting for %d worker(s) at %s", len(missing), ", ".join(missing.values()))
    deadline = time.monotonic() + wait_seconds
    with _listen(cluster.addresses[cluster.rank], cluster.world_size):
        while True:
            missing = {rank: at for rank, at in missing.items() if not _is_listening(at)}
            if not missing:
                return
            if time.monotonic() > deadline:
                names = ", ".join(f"worker {rank} at {at}" for rank, at in missing.items())
                raise RunError(f"{names} did not appear in {wait_seconds:g} seconds")
            time.sleep(_POLL_SECONDS)


def _listen(address: str, backlog: int) -> socket.socket:
    """Listens at the port of an address, on all interfaces, by IPv6 as well where there is it."""
    port = int(address.rpartition(":")[2])
    has_both = socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            ("", port),
            family=socket.AF_INET6 if has_both else socket.AF_INET,
            backlog=backlog,
            dualstack_ipv6=has_both,
        )
    except (OSError, OverflowError) as error:
        raise RunError(f"this worker cannot listen at {address} ({one_line(error)})") from error


def _is_listening(address: str) -> bool:
    """Whether a worker listens at an address."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return True
    except (OSError, OverflowError):  # Refused, or a name that does not resolve yet.
        return False
