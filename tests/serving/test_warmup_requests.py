"""Warm-up requests: one for each signature, written so that a server can answer them."""

import shutil

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tests.helpers.served_inputs import SHAPE
from tests.helpers.served_model import Core, Model
from tf_mdsm.serving.request_checks import (
    checked_images,
    checked_mask,
    checked_seeds,
    require_known_in_range,
)
from tf_mdsm.serving.warmup_requests import example_requests, write_warmup_requests

INPUTS = {
    "sample": {"seed"},
    "energy": {"images"},
    "score": {"images"},
    "denoise": {"images"},
    "noise_level": {"images"},
    "inpaint": {"images", "mask", "seed"},
}


def test_the_examples_are_valid_requests_of_one_image():
    requests = example_requests((5, 4, 3))
    assert {name: set(inputs) for name, inputs in requests.items()} == INPUTS
    for inputs in requests.values():
        assert {len(array) for array in inputs.values()} == {1}
        if "seed" in inputs:
            np.testing.assert_array_equal(inputs["seed"], checked_seeds(inputs["seed"]))
        if "images" in inputs:
            checked = checked_images(inputs["images"], (5, 4, 3))
            np.testing.assert_array_equal(inputs["images"], checked)
    images, mask = (requests["inpaint"][name] for name in ("images", "mask"))
    np.testing.assert_array_equal(mask, checked_mask(mask, images))
    require_known_in_range(images, mask)
    # The upper half is known, and of an odd number of rows the middle one.
    assert mask[0, :, 0, 0].tolist() == [1, 1, 1, 0, 0]


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
    assert core.model.runs == dict.fromkeys(INPUTS, 1) | {"serving_default": 0}
