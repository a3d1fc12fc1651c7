"""Requests that a server answers to itself before it takes others.

The first call of a signature compiles its graph; a server that replays these records when it
loads a version spares its first clients the wait.
"""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

__all__ = ["write_warmup_requests"]


def write_warmup_requests(path: str, requests: dict[str, dict[str, np.ndarray]]) -> None:
    """Writes `assets.extra/tf_serving_warmup_requests`.

    Args:
        requests: {signature: {input: array}}.
    """
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
