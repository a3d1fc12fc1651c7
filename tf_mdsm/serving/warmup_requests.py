"""Warm-up requests of an export: a server answers them to itself when it loads the export.

The first call of a signature compiles its graph. With warm-up requests, the server compiles all
signatures before it is available, so that no client waits for it.
"""

# The generated protobuf modules have no types.
# pyright: reportAttributeAccessIssue=false

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

__all__ = ["example_requests", "write_warmup_requests"]


def example_requests(image_shape: tuple[int, int, int]) -> dict[str, dict[str, np.ndarray]]:
    """One small valid request for each signature of `ServedEnergy`.

    Args:
        image_shape: height, width and channels of the model's images.

    Returns:
        {signature: {input: array}}.
    """
    images = np.random.default_rng(0).uniform(size=(1, *image_shape)).astype(np.float32)
    mask = np.zeros((1, *image_shape[:2], 1), np.float32)
    mask[:, : (image_shape[0] + 1) // 2] = 1
    seed = np.zeros(1, np.int64)
    return {
        "sample": {"seed": seed},
        "energy": {"images": images},
        "score": {"images": images},
        "denoise": {"images": images},
        "noise_level": {"images": images},
        "inpaint": {"images": images, "mask": mask, "seed": seed},
    }


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
