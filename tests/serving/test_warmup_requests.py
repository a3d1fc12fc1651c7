"""Warm-up requests: one for each signature, written so that a server can answer them."""

import shutil

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.helpers.served_inputs import SHAPE
from tests.helpers.served_model import Core, Model
from tf_mdsm.serving.example_requests import example_requests
from tf_mdsm.serving.warmup_requests import write_warmup_requests


def test_the_written_requests_are_the_given_ones(tmp_path):
    requests = example_requests(SHAPE)
    write_warmup_requests(str(tmp_path / "requests"), requests)
    read = {}
    for record in tf.data.TFRecordDataset(str(tmp_path / "requests")).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        # A server sends them to the model that it loads: they name none.
        assert request.model_spec.name == ""
        read[request.model_spec.signature_name] = {
            name: tf.make_ndarray(proto) for name, proto in request.inputs.items()
        }
    assert read.keys() == requests.keys()
    for name, inputs in requests.items():
        assert read[name].keys() == inputs.keys()
        for key, array in inputs.items():
            assert read[name][key].dtype == array.dtype
            np.testing.assert_array_equal(read[name][key], array)


def test_a_server_answers_them_when_it_loads_an_export(known_export, tmp_path):
    """A server reads them from a folder inside the export."""
    folder = shutil.copytree(known_export, tmp_path / "export")
    (folder / "1" / "assets.extra").mkdir()
    path = folder / "1" / "assets.extra" / "tf_serving_warmup_requests"
    write_warmup_requests(str(path), example_requests(SHAPE))
    core = Core(Model(str(folder)), None)
    core.warm_up()
    assert core.model.runs == dict.fromkeys(example_requests(SHAPE), 1) | {"serving_default": 0}
