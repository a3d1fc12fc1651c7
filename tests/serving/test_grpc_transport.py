"""The connection by gRPC: errors for each status, large replies, and metadata of other programs."""

import types

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from tests.helpers.known_export import COLOR_SHAPE
from tf_mdsm.serving import Client, ServingError, VersionStatus
from tf_mdsm.serving.grpc_transport import GrpcTransport


@pytest.fixture
def transport():
    """A connection to no server."""
    connection = GrpcTransport("grpc://localhost:1", "tf_mdsm", 3.0, 5)
    yield connection
    connection.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("UNIMPLEMENTED", "is not TensorFlow Serving over grpc: why"),
        ("UNAVAILABLE", "localhost:1 is not available: why"),
        ("DEADLINE_EXCEEDED", "gave no answer within 3 s"),
        ("NOT_FOUND", "has no model tf_mdsm in version 5: why"),
        ("INVALID_ARGUMENT", "refused the request: why"),
        ("FAILED_PRECONDITION", "refused the request: why"),
        ("RESOURCE_EXHAUSTED", "refused the request: why"),
        ("PERMISSION_DENIED", "refused the request: why"),
        ("UNAUTHENTICATED", "refused the request: why"),
        ("INTERNAL", "failed in the request: why (INTERNAL)"),
        ("CANCELLED", "failed in the request: why (CANCELLED)"),
        ("UNKNOWN", "failed in the request: why (UNKNOWN)"),
        ("ABORTED", "failed in the request: why (ABORTED)"),
    ],
)
def test_each_status_has_an_error(transport, code, message):
    error = transport._error(grpc.StatusCode[code], "why")
    assert str(error).endswith(message)
    assert error.status == code


def test_a_server_of_another_protocol_is_told_from_one_that_is_away(transport):
    error = transport._error(grpc.StatusCode.UNAVAILABLE, "Trying to connect an HTTP/1 to HTTP/2")
    assert "is not TensorFlow Serving over grpc" in str(error)


def test_replies_above_the_default_limit_of_grpc(color_server):
    """By default, replies of more than 4 MiB are refused."""
    client = Client(color_server.grpc, batch_size=512)
    images = np.broadcast_to(
        np.float32(np.arange(350) / 350)[:, None, None, None], (350, 32, 32, 3)
    )
    denoised = client.denoise(images)
    assert denoised.nbytes > 4 * 2**20
    np.testing.assert_array_equal(denoised, images / 2)
    assert client.image_shape == COLOR_SHAPE


def metadata(content: bytes):
    """A reply with these bytes as the definition of signatures."""
    reply = get_model_metadata_pb2.GetModelMetadataResponse()
    reply.metadata["signature_def"].Pack(get_model_metadata_pb2.SignatureDefMap())
    reply.metadata["signature_def"].value = content
    return reply


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xff", "is not TensorFlow Serving over grpc: its metadata have another format"),
        (b"", "is not an export of tf_mdsm: it has no signature energy with input images"),
    ],
)
def test_metadata_of_another_program(transport, content, message):
    transport._predictions = types.SimpleNamespace(
        GetModelMetadata=lambda request, timeout: metadata(content)
    )
    with pytest.raises(ServingError, match=message):
        transport.input_sizes("energy", "images")


def test_requests_name_the_model_its_version_and_the_limit_of_time(transport):
    """The state and the error of every version of the reply are given back."""
    states = get_model_status_pb2.ModelVersionStatus.State
    reply = get_model_status_pb2.GetModelStatusResponse()
    reply.model_version_status.add(version=5, state=states.LOADING)
    failed = reply.model_version_status.add(version=4, state=states.END)
    failed.status.error_message = "no memory"
    sent = []

    def answer(request, timeout):
        sent.append((request.model_spec.name, request.model_spec.version.value, timeout))
        return reply

    transport._models = types.SimpleNamespace(GetModelStatus=answer)
    assert transport.status() == [
        VersionStatus(5, "LOADING", ""),
        VersionStatus(4, "END", "no memory"),
    ]
    assert sent == [("tf_mdsm", 5, 3.0)]
