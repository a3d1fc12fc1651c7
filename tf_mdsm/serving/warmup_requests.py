"""Warm-up requests of an export: a server answers them to itself when it loads the export.

The first call of a signature compiles its graph. With warm-up requests, the server compiles all
signatures before it is available, so that no client waits for it.
"""

# The generated protobuf modules have no types.
# pyright: reportAttributeAccessIssue=false

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

__all__ = ["write_warmup_requests"]


def write_warmup_requests(path: str, requests: dict[str, dict[str, np.ndarray]]) -> None:
    """Writes the file `assets.extra/tf_serving_warmup_requests` of an export.

    Args:
        path: the file.
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
