"""Running model servers, in a process of their own or in this one."""

import contextlib
import dataclasses
import json
import subprocess
import sys

import requests

from tests.helpers.model_server import start
from tests.helpers.served_model import Core, Model
from tests.helpers.small_runs import ROOT, environment
from tf_mdsm.serving import Client


@dataclasses.dataclass(frozen=True)
class Server:
    """Addresses of a running model server."""

    grpc: str
    rest: str

    @classmethod
    def at(cls, ports: dict[str, int]) -> "Server":
        """A server at these ports of this machine."""
        return cls(f"grpc://localhost:{ports['grpc']}", f"http://localhost:{ports['rest']}")

    def clients(self, **options) -> list[Client]:
        """A client by gRPC and a client by REST."""
        return [Client(address, **options) for address in (self.grpc, self.rest)]

    def runs(self) -> dict[str, int]:
        """Number of runs of each signature; with merged requests, fewer than requests."""
        return requests.get(f"{self.rest}/runs", timeout=10).json()


@contextlib.contextmanager
def serving(folder, *options: str):
    """Runs the stand-in for TensorFlow Serving in its own process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.model_server", str(folder), *options],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        ports = json.loads(process.stdout.readline())
        yield Server.at(ports)
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


@contextlib.contextmanager
def serving_here(folder, max_batch_size: int | None = None):
    """Runs it in threads of this process; with a largest batch size, it merges requests."""
    by_grpc, by_rest, ports = start(Core(Model(str(folder)), max_batch_size))
    try:
        yield Server.at(ports)
    finally:
        by_grpc.stop(None)
        by_rest.shutdown()
        by_rest.server_close()
