"""An export, run as TensorFlow Serving's binary runs it; `model_server` offers it to clients."""

import os
import queue
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, prediction_log_pb2

NAME, MERGE_SECONDS = "tf_mdsm", 0.005
CODES = grpc.StatusCode


class Refusal(Exception):
    """An error status of gRPC, with its message."""

    def __init__(self, code, message: str):
        super().__init__(message)
        self.code, self.message = code, message


class Model:
    """The newest version of an exported model, run in a version-1 session."""

    def __init__(self, folder: str):
        self.version = max(int(name) for name in os.listdir(folder) if name.isdigit())
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        self.folder = os.path.join(folder, str(self.version))
        with self.session.graph.as_default():
            graph = tf.compat.v1.saved_model.load(self.session, ["serve"], self.folder)
        self.signatures = graph.signature_def
        # The signatures without inputs are run once, to initialize the session.
        self.functions = {
            name: self._function(signature)
            for name, signature in self.signatures.items()
            if signature.inputs
        }
        # Number of runs of each signature.
        self.runs = dict.fromkeys(self.functions, 0)

    def _function(self, signature):
        """A function of arrays. Unlike `session.run`, it does not check shapes: the graph does."""
        options = config_pb2.CallableOptions()
        options.feed.extend(signature.inputs[name].name for name in sorted(signature.inputs))
        options.fetch.extend(signature.outputs[name].name for name in sorted(signature.outputs))
        return self.session._make_callable_from_options(options)

    def signature(self, name: str):
        """The definition of a signature; raises `Refusal` if there is none of this name."""
        if name not in self.signatures:
            message = f'Serving signature key "{name}" not found.'
            raise Refusal(CODES.FAILED_PRECONDITION, message)
        return self.signatures[name]

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of a signature, by name; raises `Refusal`."""
        self.runs[name] += 1
        try:
            values = self.functions[name](*(inputs[key] for key in sorted(inputs)))
        except tf.errors.OpError as error:
            code = next(code for code in CODES if code.value[0] == error.error_code)
            raise Refusal(code, error.message) from error
        except (TypeError, ValueError) as error:  # A feed that the session cannot convert.
            raise Refusal(CODES.INVALID_ARGUMENT, str(error)) from error
        return dict(zip(sorted(self.signatures[name].outputs), values, strict=True))


class Merger:
    """Merges simultaneous requests of several clients for one signature into one batch."""

    def __init__(self, model: Model, name: str, max_batch_size: int):
        self.model, self.name, self.max_batch_size = model, name, max_batch_size
        self.waiting = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def run(self, inputs):
        """Outputs for these inputs, computed in a batch with those of other callers."""
        rows = {len(array) if array.ndim else None for array in inputs.values()}
        if len(rows) != 1 or None in rows:
            message = "Batching session Run() input tensors must have equal 0th-dimension size"
            raise Refusal(CODES.INVALID_ARGUMENT, message)
        (count,) = rows
        if count > self.max_batch_size:
            message = (
                f"Task size {count} is larger than maximum input batch size {self.max_batch_size}"
            )
            raise Refusal(CODES.INVALID_ARGUMENT, message)
        answer = futures.Future()
        self.waiting.put((count, inputs, answer))
        return answer.result()

    def _serve(self):
        next_task = None
        while True:
            tasks = [next_task or self.waiting.get()]
            next_task, deadline = None, time.monotonic() + MERGE_SECONDS
            while (wait_seconds := deadline - time.monotonic()) > 0:
                try:
                    task = self.waiting.get(timeout=wait_seconds)
                except queue.Empty:
                    break
                if sum(count for count, _, _ in (*tasks, task)) > self.max_batch_size:
                    next_task = task
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
        for index, (_, _, answer) in enumerate(tasks):
            answer.set_result({key: arrays[index] for key, arrays in parts.items()})

    def _merged(self, all_inputs):
        """One batch of all inputs, padded to a power of two, or to the largest batch size."""
        merged = {}
        for key in all_inputs[0]:
            arrays = [inputs[key] for inputs in all_inputs]
            if len({array.shape[1:] for array in arrays}) != 1:
                message = f"Tensors with name '{key}' from different tasks have different shapes"
                raise Refusal(CODES.FAILED_PRECONDITION, message)
            count = sum(map(len, arrays))
            padded = min(1 << (count - 1).bit_length(), self.max_batch_size) if count else 0
            padding = padded - count
            merged[key] = np.concatenate([*arrays, *[arrays[-1][:1]] * padding])
        return merged


class Core:
    """The server's functions that both interfaces, gRPC and REST, call."""

    def __init__(self, model: Model, max_batch_size: int | None):
        self.model = model
        # Without a largest batch size, requests are not merged.
        names = model.functions if max_batch_size else ()
        self.mergers = {name: Merger(model, name, max_batch_size) for name in names}

    def warm_up(self) -> None:
        """Answers the export's warm-up requests, as the binary does before it is available."""
        path = os.path.join(self.model.folder, "assets.extra", "tf_serving_warmup_requests")
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            self.predict(request.model_spec.signature_name, inputs)

    def require(self, name: str, version: int | None) -> None:
        """Raises `Refusal` for another model or version."""
        if name != NAME or version not in (None, self.model.version):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Refusal(CODES.NOT_FOUND, f"Servable not found for request: {wanted}")

    def predict(self, signature_name, inputs):
        """Outputs of a signature, by name."""
        signature = self.model.signature(signature_name)
        if set(inputs) != set(signature.inputs):
            message = f"input size does not match signature: {sorted(inputs)}"
            raise Refusal(CODES.INVALID_ARGUMENT, message)
        if signature_name in self.mergers:
            return self.mergers[signature_name].run(inputs)
        return self.model.run(signature_name, inputs)

    def metadata(self):
        """Names, inputs and outputs of all signatures."""
        reply = get_model_metadata_pb2.GetModelMetadataResponse()
        reply.model_spec.name, reply.model_spec.version.value = NAME, self.model.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in self.model.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        reply.metadata["signature_def"].Pack(signatures)
        return reply

    def status(self, name, version):
        """State of the model's version."""
        if name != NAME or version not in (None, self.model.version):
            raise Refusal(CODES.NOT_FOUND, f"Could not find any versions of model {name}")
        reply = get_model_status_pb2.GetModelStatusResponse()
        available = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
        entry = reply.model_version_status.add(version=self.model.version, state=available)
        entry.status.SetInParent()
        return reply
