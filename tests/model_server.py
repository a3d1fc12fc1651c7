"""A stand-in for TensorFlow Serving's binary: loads an export and answers as that does.

    python tests/model_server.py EXPORT_FOLDER [--merge] [--delay=SECONDS] [--rest_port=N]

Loads the newest numeric version through a version-1 session, with the tag `serve` and signatures
by name; offers PredictionService and ModelService by gRPC and the REST interface, on free ports,
and prints `{"grpc": PORT, "rest": PORT, "load_seconds": …}` when it answers.

--merge: as with --enable_batching, requests of several clients become one batch: all that arrive
within 5 ms, up to 64 images, padded to a power of two; an error is everybody's.
--delay: how long every prediction takes at least.
"""

import argparse
import json
import os
import queue
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
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

NAME, MAX_BATCH, MERGE_SECONDS = "tf_mdsm", 64, 0.005
CODES = grpc.StatusCode
HTTP = {
    CODES.INVALID_ARGUMENT: 400,
    CODES.FAILED_PRECONDITION: 400,
    CODES.NOT_FOUND: 404,
    CODES.INTERNAL: 500,
}


class Refusal(Exception):
    """A status other than OK, with its message."""

    def __init__(self, code, message: str):
        super().__init__(message)
        self.code, self.message = code, message


class Model:
    """One version of the model, run through a session."""

    def __init__(self, folder: str, delay: float):
        self.version = max(int(name) for name in os.listdir(folder) if name.isdigit())
        self.delay = delay
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        path = os.path.join(folder, str(self.version))
        with self.session.graph.as_default():
            graph = tf.compat.v1.saved_model.load(self.session, ["serve"], path)
        self.signatures = graph.signature_def
        # Without those that a session runs once, to set itself up.
        self.functions = {
            name: self._function(one) for name, one in self.signatures.items() if one.inputs
        }

    def _function(self, signature):
        """Unlike `session.run`, which checks shapes itself, this leaves that to the graph."""
        options = config_pb2.CallableOptions()
        options.feed.extend(signature.inputs[name].name for name in sorted(signature.inputs))
        options.fetch.extend(signature.outputs[name].name for name in sorted(signature.outputs))
        return self.session._make_callable_from_options(options)

    def signature(self, name: str):
        if name not in self.signatures:
            message = f'Serving signature key "{name}" not found.'
            raise Refusal(CODES.FAILED_PRECONDITION, message)
        return self.signatures[name]

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        time.sleep(self.delay)
        try:
            values = self.functions[name](*(inputs[key] for key in sorted(inputs)))
        except tf.errors.OpError as error:
            code = next(code for code in CODES if code.value[0] == error.error_code)
            raise Refusal(code, error.message) from error
        except (TypeError, ValueError) as error:  # A feed of another kind.
            raise Refusal(CODES.INVALID_ARGUMENT, str(error)) from error
        return dict(zip(sorted(self.signatures[name].outputs), values, strict=True))


class Merger:
    """Makes one batch of what several clients ask of one signature at the same time."""

    def __init__(self, model: Model, name: str):
        self.model, self.name = model, name
        self.waiting = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def run(self, inputs):
        rows = {len(array) if array.ndim else None for array in inputs.values()}
        if len(rows) != 1 or None in rows:
            message = "Batching session Run() input tensors must have equal 0th-dimension size"
            raise Refusal(CODES.INVALID_ARGUMENT, message)
        (count,) = rows
        if count > MAX_BATCH:
            message = f"Task size {count} is larger than maximum input batch size {MAX_BATCH}"
            raise Refusal(CODES.INVALID_ARGUMENT, message)
        answer = futures.Future()
        self.waiting.put((count, inputs, answer))
        return answer.result()

    def _serve(self):
        left_over = None
        while True:
            tasks = [left_over or self.waiting.get()]
            left_over, deadline = None, time.monotonic() + MERGE_SECONDS
            while (patience := deadline - time.monotonic()) > 0:
                try:
                    task = self.waiting.get(timeout=patience)
                except queue.Empty:
                    break
                if sum(count for count, _, _ in (*tasks, task)) > MAX_BATCH:
                    left_over = task
                    break
                tasks.append(task)
            self._answer(tasks)

    def _answer(self, tasks):
        counts = [count for count, _, _ in tasks]
        try:
            outputs = self.model.run(self.name, self._merged([inputs for _, inputs, _ in tasks]))
            parts = {key: np.split(array, np.cumsum(counts)) for key, array in outputs.items()}
        except Refusal as refusal:
            for _, _, answer in tasks:
                answer.set_exception(refusal)
            return
        for place, (_, _, answer) in enumerate(tasks):
            answer.set_result({key: arrays[place] for key, arrays in parts.items()})

    def _merged(self, all_inputs):
        merged = {}
        for key in all_inputs[0]:
            arrays = [inputs[key] for inputs in all_inputs]
            if len({array.shape[1:] for array in arrays}) != 1:
                message = f"Tensors with name '{key}' from different tasks have different shapes"
                raise Refusal(CODES.FAILED_PRECONDITION, message)
            count = sum(map(len, arrays))
            padding = (1 << (count - 1).bit_length()) - count if count else 0
            merged[key] = np.concatenate([*arrays, *[arrays[-1][:1]] * padding])
        return merged


class Core:
    """What both interfaces ask."""

    def __init__(self, model: Model, merge: bool):
        self.model = model
        mergers = {name: Merger(model, name) for name in model.functions} if merge else {}
        self.mergers = mergers

    def require(self, name: str, version: int | None) -> None:
        if name != NAME or version not in (None, self.model.version):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refusal(CODES.NOT_FOUND, f"Servable not found for request: {wanted}")

    def predict(self, signature_name, inputs):
        signature = self.model.signature(signature_name)
        if set(inputs) != set(signature.inputs):
            message = f"input size does not match signature: {sorted(inputs)}"
            raise Refusal(CODES.INVALID_ARGUMENT, message)
        if signature_name in self.mergers:
            return self.mergers[signature_name].run(inputs)
        return self.model.run(signature_name, inputs)

    def metadata(self):
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.model_spec.name, reply.model_spec.version.value = NAME, self.model.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        reply.metadata["signature_def"].Pack(signatures)
        return reply

    def status(self, name, version):
        if name != NAME or version not in (None, self.model.version):
            raise Refusal(CODES.NOT_FOUND, f"Could not find any versions of model {name}")
        reply = get_model_status_pb2.GetModelStatusResponse()
        available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        one = reply.model_version_status.add(version=self.model.version, state=available)
        one.status.SetInParent()
        return reply


def version_of(spec) -> int | None:
    return spec.version.value if spec.HasField("version") else None


def refusing(method):
    """gRPC methods end with the status of a `Refusal`."""

    def answer(self, request, context):
        try:
            return method(self, request)
        except Refusal as refusal:
            context.abort(refusal.code, refusal.message)

    return answer


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
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
            # As fields, not as raw content: that is how the server answers.
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
    def __init__(self, core: Core):
        self.core = core

    @refusing
    def GetModelStatus(self, request):
        return self.core.status(request.model_spec.name, version_of(request.model_spec))


class Rest(BaseHTTPRequestHandler):
    """The REST interface; the class attribute `core` is set before the server starts."""

    core: Core
    protocol_version = "HTTP/1.1"
    path_pattern = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(/metadata|:predict|)")

    def do_GET(self):
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
        given = request["inputs"]
        if not isinstance(given, dict):
            given = dict.fromkeys(signature.inputs, given)
        inputs = {
            key: self._tensor(key, value, signature.inputs[key].dtype)
            for key, value in given.items()
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--rest_port", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    core = Core(Model(options.folder, options.delay), options.merge)
    load_seconds = time.perf_counter() - start
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=unlimited)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(core), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(core), server)
    ports = {"grpc": server.add_insecure_port("127.0.0.1:0")}
    server.start()
    Rest.core = core
    rest = ThreadingHTTPServer(("127.0.0.1", options.rest_port), Rest)
    rest.daemon_threads = True
    ports["rest"] = rest.server_address[1]
    print(json.dumps({**ports, "load_seconds": load_seconds}), flush=True)
    # Whoever started this holds the other end of standard input: when it goes, so does this.
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
