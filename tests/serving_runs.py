"""Exports and model servers for the tests of serving."""

import contextlib
import dataclasses
import json
import subprocess
import sys

import requests
import tensorflow as tf
from small_runs import ROOT, environment, small_config

from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.serving import Client


@dataclasses.dataclass(frozen=True)
class Server:
    grpc: str
    rest: str

    def clients(self, **options) -> list[Client]:
        return [Client(address, **options) for address in (self.grpc, self.rest)]

    def runs(self) -> dict[str, int]:
        """How many times each signature was run: fewer than requests, where those merge."""
        return requests.get(f"{self.rest}/runs", timeout=10).json()


@contextlib.contextmanager
def serving(folder, *options: str):
    """The stand-in for TensorFlow Serving, in a process of its own."""
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


def exported_colour(folder, max_batch_size: int) -> str:
    """An untrained network for 32 x 32 colour images, exported for large requests."""
    config = small_config(
        data__image_size=32, data__channels=3, export__max_batch_size=max_batch_size
    )
    model = build.build_model(config)
    served = build.build_served(config, model, build_sampler(config, model, None))
    tf.saved_model.save(served, f"{folder}/1", signatures=served.signatures)
    return str(folder)
