"""Connection to TensorFlow Serving by gRPC. Its messages need TensorFlow."""

# The generated protobuf modules have no types.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tf_mdsm.errors import ServingError
from tf_mdsm.serving.transport import Transport, VersionStatus

__all__ = ["GrpcTransport"]

# No limits. By default gRPC refuses replies above 4 MB: 340 color images of 32 x 32 pixels.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class GrpcTransport(Transport):
    """Connection by gRPC, see `Transport`; several threads may use it at the same time."""

    def __init__(self, address: str, model: str, timeout: float, version: int | None):
        super().__init__(address, model, timeout, version)
        target = address.removeprefix("grpc://")
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        """Runs a signature, see `Transport`."""
        request = self._for_model(predict_pb2.PredictRequest())
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        reply = self._call(self._predictions.Predict, request)
        try:
            return {name: tf.make_ndarray(reply.outputs[name]) for name in outputs}
        except (TypeError, ValueError) as error:
            raise self.wrong_model_error(f"signature {signature} has other outputs") from error

    def input_sizes(self, signature: str, name: str) -> list[int]:
        """Shape of one input of a signature, see `Transport`."""
        request = self._for_model(get_model_metadata_pb2.GetModelMetadataRequest())
        request.metadata_field.append("signature_def")
        reply = self._call(self._predictions.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        try:
            reply.metadata["signature_def"].Unpack(signatures)
        except DecodeError as error:
            raise self.wrong_server_error("its metadata have another format") from error
        inputs = signatures.signature_def[signature].inputs
        if name not in inputs:
            raise self.wrong_model_error(f"it has no signature {signature} with input {name}")
        return [dimension.size for dimension in inputs[name].tensor_shape.dim]

    def status(self) -> list[VersionStatus]:
        """Status of the model's versions, see `Transport`."""
        request = self._for_model(get_model_status_pb2.GetModelStatusRequest())
        reply = self._call(self._models.GetModelStatus, request)
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(entry.version, states.Name(entry.state), entry.status.error_message)
            for entry in reply.model_version_status
        ]

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _for_model(self, request: Any) -> Any:
        """The request with the model's name and version filled in."""
        request.model_spec.name = self.model
        if self.version is not None:
            request.model_spec.version.value = self.version
        return request

    def _call(self, method: Callable, request: Any) -> Any:
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._error(error.code(), error.details() or "") from error

    def _error(self, code: grpc.StatusCode, message: str) -> ServingError:
        """The error for a status other than OK."""
        codes, status = grpc.StatusCode, code.name
        if code == codes.UNIMPLEMENTED or "HTTP/2" in message:
            return self.wrong_server_error(message, status)
        if code == codes.UNAVAILABLE:
            return self.unavailable_error(message)
        if code == codes.DEADLINE_EXCEEDED:
            return self.timeout_error()
        if code == codes.NOT_FOUND:
            return self.unknown_model_error(message, status)
        refusals = (codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION, codes.RESOURCE_EXHAUSTED)
        if code in (*refusals, codes.PERMISSION_DENIED, codes.UNAUTHENTICATED):
            return self.refused_error(message, status)
        return self.failed_error(f"{message} ({status})", status)
