"""TensorFlow Serving's gRPC interface, whose messages need TensorFlow."""

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

# gRPC alone takes replies up to 4 MB: about 340 colour images of 32 x 32 pixels.
_OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class GrpcTransport(Transport):
    """See `Transport`; threads may share it."""

    def __init__(self, address: str, model: str, timeout: float, version: int | None):
        super().__init__(address, model, timeout, version)
        target = address.removeprefix("grpc://")
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._predictions = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def predict(
        self, signature: str, inputs: dict[str, np.ndarray], outputs: tuple[str, ...]
    ) -> dict[str, np.ndarray]:
        request = self._addressed(predict_pb2.PredictRequest())
        request.model_spec.signature_name = signature
        for name, array in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        reply = self._ask(self._predictions.Predict, request)
        try:
            return {name: tf.make_ndarray(reply.outputs[name]) for name in outputs}
        except (TypeError, ValueError) as error:
            raise self.foreign_model(f"signature {signature} gave other outputs") from error

    def input_sizes(self, signature: str, name: str) -> list[int]:
        request = self._addressed(get_model_metadata_pb2.GetModelMetadataRequest())
        request.metadata_field.append("signature_def")
        reply = self._ask(self._predictions.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        try:
            reply.metadata["signature_def"].Unpack(found)
        except DecodeError as error:
            raise self.foreign("its metadata are of another form") from error
        inputs = found.signature_def[signature].inputs
        if name not in inputs:
            raise self.foreign_model(f"it has no signature {signature} of {name}")
        return [dimension.size for dimension in inputs[name].tensor_shape.dim]

    def status(self) -> list[VersionStatus]:
        request = self._addressed(get_model_status_pb2.GetModelStatusRequest())
        reply = self._ask(self._models.GetModelStatus, request)
        states = get_model_status_pb2.ModelVersionStatus.State
        return [
            VersionStatus(one.version, states.Name(one.state), one.status.error_message)
            for one in reply.model_version_status
        ]

    def close(self) -> None:
        self._channel.close()

    def _addressed(self, request):
        request.model_spec.name = self.model
        if self.version is not None:
            request.model_spec.version.value = self.version
        return request

    def _ask(self, method, request):
        try:
            return method(request, timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._error(error.code(), error.details() or "") from error

    def _error(self, code: grpc.StatusCode, message: str) -> ServingError:
        codes = grpc.StatusCode
        if code == codes.UNIMPLEMENTED or "HTTP/2" in message:
            return self.foreign(message)
        if code == codes.UNAVAILABLE:
            return self.unavailable(message)
        if code == codes.DEADLINE_EXCEEDED:
            return self.too_late()
        if code == codes.NOT_FOUND:
            return self.unknown_model(message)
        refusals = (codes.INVALID_ARGUMENT, codes.FAILED_PRECONDITION, codes.RESOURCE_EXHAUSTED)
        if code in (*refusals, codes.PERMISSION_DENIED, codes.UNAUTHENTICATED):
            return self.refused(message)
        return self.failed(f"{message} ({code.name})")
