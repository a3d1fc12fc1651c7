"""Stand-in for TensorFlow Serving's binary: loads an export and answers as the binary does.

    python -m tests.helpers.model_server EXPORT_FOLDER [--merge [--max_batch_size=64]] [--warm_up]

It loads the newest numeric version, and offers PredictionService and ModelService by gRPC and the
REST interface, on free ports of this machine. When it is available, it prints
`{"grpc": PORT, "rest": PORT, "load_seconds": …}`. It ends when its standard input ends.

With --merge, requests of several clients are merged into one batch of at most --max_batch_size
images, like the binary's --enable_batching with batching.config. With --warm_up, it first answers
the export's warm-up requests, as the binary does, and also prints "warm_up_seconds".
"""

import argparse
import json
import re
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.helpers.served_model import CODES, Core, Model, Refusal

# As `ToHTTPStatusCode` of TensorFlow Serving (tensorflow_serving/model_servers/http_server.cc).
HTTP = {
    CODES.CANCELLED: 499,
    CODES.UNKNOWN: 500,
    CODES.INVALID_ARGUMENT: 400,
    CODES.DEADLINE_EXCEEDED: 504,
    CODES.NOT_FOUND: 404,
    CODES.ALREADY_EXISTS: 409,
    CODES.PERMISSION_DENIED: 403,
    CODES.RESOURCE_EXHAUSTED: 429,
    CODES.FAILED_PRECONDITION: 400,
    CODES.ABORTED: 409,
    CODES.OUT_OF_RANGE: 400,
    CODES.UNIMPLEMENTED: 501,
    CODES.INTERNAL: 500,
    CODES.UNAVAILABLE: 503,
    CODES.DATA_LOSS: 500,
    CODES.UNAUTHENTICATED: 401,
}


def version_of(spec) -> int | None:
    """The version that a request asks for; None: the newest."""
    return spec.version.value if spec.HasField("version") else None


def refusing(method):
    """Turns a `Refusal` of a gRPC method into its status."""

    def answer(self, request, context):
        try:
            return method(self, request)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.message)

    return answer


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The gRPC service that runs signatures."""

    def __init__(self, core: Core):
        self.core = core

    @refusing
    def Predict(self, request):
        spec = request.model_spec
        self.core.require(spec.name, version_of(spec))
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        outputs = self.core.predict(spec.signature_name or "serving_default", inputs)
        reply = predict_pb2.PredictResponse()
        for name, array in outputs.items():
            # The binary sends numbers in typed fields, not as raw bytes.
            proto = reply.outputs[name]
            proto.dtype = tf.as_dtype(array.dtype).as_datatype_enum
            proto.tensor_shape.CopyFrom(tf.TensorShape(array.shape).as_proto())
            proto.float_val.extend(array.ravel())
        return reply

    @refusing
    def GetModelMetadata(self, request):
        self.core.require(request.model_spec.name, version_of(request.model_spec))
        return self.core.metadata()


class Models(model_service_pb2_grpc.ModelServiceServicer):
    """The gRPC service that tells the state of versions."""

    def __init__(self, core: Core):
        self.core = core

    @refusing
    def GetModelStatus(self, request):
        return self.core.status(request.model_spec.name, version_of(request.model_spec))


class Rest(BaseHTTPRequestHandler):
    """The REST interface; `start` gives each server a class of its own with its `core`."""

    core: Core
    protocol_version = "HTTP/1.1"
    path_pattern = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata|:predict|)")

    def do_GET(self):
        if self.path == "/runs":  # Not part of TensorFlow Serving, for tests only.
            self._send(200, json.dumps(self.core.model.runs))
            return
        self._answer({"/metadata": self._metadata, "": self._status})

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer({":predict": self._predict})

    def _answer(self, methods):
        match = self.path_pattern.fullmatch(self.path)
        try:
            if not match or match[3] not in methods:
                malformed = f"Malformed request: {self.command} {self.path}"
                raise Refusal(CODES.INVALID_ARGUMENT, malformed)
            version = int(match[2]) if match[2] else None
            status, text = 200, methods[match[3]](match[1], version)
        except Refusal as refusal:
            status, text = HTTP[refusal.code], json.dumps({"error": refusal.message})
        self._send(status, text)

    def _send(self, status, text):
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _status(self, name, version):
        options = {
            "preserving_proto_field_name": True,
            "always_print_fields_with_no_presence": True,
        }
        return json_format.MessageToJson(self.core.status(name, version), **options)

    def _metadata(self, name, version):
        self.core.require(name, version)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        self.core.metadata().metadata["signature_def"].Unpack(signatures)
        options = {
            "preserving_proto_field_name": True,
            "always_print_fields_with_no_presence": True,
        }
        inner = json_format.MessageToDict(signatures, **options)
        spec = {"name": name, "signature_name": "", "version": str(self.core.model.version)}
        return json.dumps({"model_spec": spec, "metadata": {"signature_def": inner}})

    def _predict(self, name, version):
        self.core.require(name, version)
        try:
            request = json.loads(self.body)
        except ValueError as error:
            raise Refusal(CODES.INVALID_ARGUMENT, f"JSON Parse error: {error}") from error
        signature_name = request.get("signature_name", "serving_default")
        signature = self.core.model.signature(signature_name)
        values = request["inputs"]
        if not isinstance(values, dict):
            values = dict.fromkeys(signature.inputs, values)
        inputs = {
            key: self._tensor(key, value, signature.inputs[key].dtype)
            for key, value in values.items()
            if key in signature.inputs
        }
        outputs = {k: v.tolist() for k, v in self.core.predict(signature_name, inputs).items()}
        (single, *others) = outputs.values()
        return json.dumps({"outputs": outputs if others else single})

    def _tensor(self, name, value, dtype):
        try:
            array = np.array(value, tf.as_dtype(dtype).as_numpy_dtype)
            exact = array.dtype.kind == "f" or np.asarray(value, object).tolist() == array.tolist()
        except (ValueError, TypeError, OverflowError):
            exact = False
        if not exact:
            message = f"Failed to process element of '{name}' for dtype {dtype}"
            raise Refusal(CODES.INVALID_ARGUMENT, message)
        return array

    def log_message(self, *_):
        pass


class RestServer(ThreadingHTTPServer):
    """Answers each request in a thread of its own."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        """Prints the error, unless a client has given up and does not read its answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def start(core: Core) -> tuple[grpc.Server, ThreadingHTTPServer, dict[str, int]]:
    """Starts both interfaces; returns both servers, to be kept alive, and their ports."""
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=unlimited)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(core), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(core), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    rest = RestServer(("127.0.0.1", 0), type("ServedRest", (Rest,), {"core": core}))
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    return server, rest, {"grpc": port, "rest": rest.server_address[1]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--max_batch_size", type=int, default=64)
    parser.add_argument("--warm_up", action="store_true")
    options = parser.parse_args()
    begin = time.perf_counter()
    core = Core(Model(options.folder), options.max_batch_size if options.merge else None)
    durations = {"load_seconds": time.perf_counter() - begin}
    if options.warm_up:
        begin = time.perf_counter()
        core.warm_up()
        durations["warm_up_seconds"] = time.perf_counter() - begin
    *_servers, ports = start(core)
    print(json.dumps({**ports, **durations}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
