"""Statuses of wrong requests by gRPC and by REST, as the page on serving lists them.

The requests are sent as they are: `Client` would refuse most of them before it sends them.
"""

import contextlib
import json

import grpc
import numpy as np
import pytest
import requests

from tests.helpers.served_inputs import SHAPE, int_seeds, some_images, upper_half_known
from tests.helpers.small_runs import ROOT
from tf_mdsm.errors import ServingError
from tf_mdsm.serving.grpc_transport import GrpcTransport

INVALID = {"grpc": "INVALID_ARGUMENT", "rest": 400}
# A JSON number has no type: the server reads it as the type that the signature names.
INVALID_BY_GRPC = {"grpc": "INVALID_ARGUMENT", "rest": 200}
UNKNOWN = {"grpc": "NOT_FOUND", "rest": 404}


def inpainting(**changes) -> dict[str, np.ndarray]:
    valid = {"images": some_images(2), "mask": upper_half_known(2), "seed": int_seeds(0, 1)}
    return {**valid, **changes}


WRONG_REQUESTS = {
    "images of another size": ("energy", {"images": some_images(2)[:, :5]}, INVALID),
    "no axis of the batch": ("energy", {"images": some_images(1)[0]}, INVALID),
    "a pixel that is not a number": ("energy", {"images": some_images(2) * np.nan}, INVALID),
    "no image": ("energy", {"images": some_images(0)}, INVALID),
    "more images than a request may hold": ("energy", {"images": some_images(65)}, INVALID),
    "more seeds than a request may hold": ("sample", {"seed": np.arange(65)}, INVALID),
    "float64": ("energy", {"images": some_images(2).astype(np.float64)}, INVALID_BY_GRPC),
    "uint8": ("energy", {"images": np.zeros((2, *SHAPE), np.uint8)}, INVALID_BY_GRPC),
    "text": ("energy", {"images": np.array(["a", "b"])}, INVALID),
    "seeds of int32": ("sample", {"seed": np.arange(2, dtype=np.int32)}, INVALID_BY_GRPC),
    "seeds that are no integers": ("sample", {"seed": np.array([0.5])}, INVALID),
    "a seed out of range": ("sample", {"seed": int_seeds(-1)}, INVALID),
    "a mask between 0 and 1": ("inpaint", inpainting(mask=upper_half_known(2) / 2), INVALID),
    "known pixels outside [0, 1]": ("inpaint", inpainting(images=some_images(2) + 1), INVALID),
    "another number of seeds": ("inpaint", inpainting(seed=int_seeds(0, 1, 2)), INVALID),
    "an input that is missing": ("inpaint", {"images": some_images(2)}, INVALID),
    "an unknown signature": (
        "draw",
        {"seed": int_seeds(0)},
        {"grpc": "FAILED_PRECONDITION", "rest": 400},
    ),
}


def grpc_status(address, signature, inputs, model, version) -> str:
    transport = GrpcTransport(address, model, 30.0, version)
    with contextlib.closing(transport), pytest.raises(ServingError) as refusal:
        transport.predict(signature, inputs, ("energy",))
    cause = refusal.value.__cause__
    assert isinstance(cause, grpc.RpcError)
    return cause.code().name


def rest_status(address, signature, inputs, model, version) -> int:
    path = f"{model}/versions/{version}" if version else model
    body = {"signature_name": signature, "inputs": {k: a.tolist() for k, a in inputs.items()}}
    url = f"{address}/v1/models/{path}:predict"
    return requests.post(url, data=json.dumps(body), timeout=30).status_code


def status_of(server, interface, signature, inputs, model="tf_mdsm", version=None):
    """The status by the name of gRPC, or by the number of HTTP."""
    ask = {"grpc": grpc_status, "rest": rest_status}[interface]
    return ask(getattr(server, interface), signature, inputs, model, version)


@pytest.mark.parametrize("what", WRONG_REQUESTS)
def test_a_wrong_request_has_a_status(server, interface, what):
    signature, inputs, expected = WRONG_REQUESTS[what]
    assert status_of(server, interface, signature, inputs) == expected[interface]


@pytest.mark.parametrize(("model", "version"), [("tf_mdsm", 7), ("other", None)])
def test_an_unknown_model_or_version_has_a_status(server, interface, model, version):
    inputs = {"seed": int_seeds(0)}
    status = status_of(server, interface, "sample", inputs, model, version)
    assert status == UNKNOWN[interface]


def test_the_page_on_serving_lists_these_statuses():
    table = (ROOT / "docs" / "guide" / "serving.md").read_text().split("## Errors")[1]
    for expected in (INVALID, UNKNOWN, WRONG_REQUESTS["an unknown signature"][2]):
        assert f"| {expected['grpc']} | {expected['rest']} |" in table
