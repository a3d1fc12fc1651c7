"""Exports and running model servers, for the tests of serving."""

import contextlib
import dataclasses
import json
import subprocess
import sys

import requests
import tensorflow as tf
from small_runs import ROOT, environment, small_config

from tf_mdsm.runs.build_model import build_model
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.runs.export import build_served_energy
from tf_mdsm.serving import Client


@dataclasses.dataclass(frozen=True)
class Server:
    """Addresses of a running model server."""

    grpc: str
    rest: str

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
        [sys.executable, "tests/model_server.py", str(folder), *options],
        cwd=ROOT,
        env=environment(PYTHONPATH="tests"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        ports = json.loads(process.stdout.readline())
        yield Server(f"grpc://localhost:{ports['grpc']}", f"http://localhost:{ports['rest']}")
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def export_color_model(folder, max_batch_size: int) -> str:
    """Exports an untrained network for 32 x 32 color images; returns the folder of versions."""
    config = small_config(
        data__image_size=32, data__channels=3, export__max_batch_size=max_batch_size
    )
    model = build_model(config)
    served = build_served_energy(config, model, build_sampler(config, model, None))
    tf.saved_model.save(served, f"{folder}/1", signatures=served.signatures)
    return str(folder)
