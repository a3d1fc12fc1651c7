"""Pictures of samples during `fit`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.training.sample_images import SampleImages
from tf_mdsm.visualization.images import image_grid

SHAPE = (8, 8, 1)
METHOD = Heun([1.0, 0.3])


def fit(callback, epochs, learning_rate=1e-6):
    model = EnergyModel(build_network("dense", SHAPE, 4), NoiseLevels(0.1, 1.0, 8))
    model.compile(keras.optimizers.SGD(learning_rate))
    images = np.random.default_rng(0).uniform(size=(8, *SHAPE))
    model.fit(images, epochs=epochs, verbose=0, callbacks=[callback])
    return model


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_pictures_of_every_second_epoch(tmp_path):
    """The same as the model's samples, in a folder that is made, and in TensorBoard."""
    folder, events = tmp_path / "a" / "samples", tmp_path / "events"
    callback = SampleImages(folder, seeds=[3, 5], method=METHOD, every=2, tensorboard=events)
    model = fit(callback, epochs=4)
    assert sorted(path.name for path in folder.iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    expected = image_grid(model.sample([3, 5], METHOD))
    np.testing.assert_array_equal(read(folder / "epoch_0004.png"), expected[..., 0])
    shown = {
        (event.step, value.tag)
        for path in events.iterdir()
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        for event in [tf.compat.v1.Event.FromString(record)]
        for value in event.summary.value
    }
    assert shown == {(2, "samples"), (4, "samples")}


def test_by_default_16_images_after_every_epoch(tmp_path):
    fit(SampleImages(tmp_path), epochs=1)
    (path,) = tmp_path.iterdir()
    assert path.name == "epoch_0001.png"
    assert read(path).shape == (4 * 66 + 2, 4 * 66 + 2)


def test_a_model_that_is_not_finite_goes_on_without_a_picture(tmp_path, caplog):
    fit(SampleImages(tmp_path, method=METHOD), epochs=1, learning_rate=1e38)
    assert list(tmp_path.iterdir()) == []
    assert "no samples of epoch 1: " in caplog.text


def test_a_wrong_interval_is_refused(tmp_path):
    with pytest.raises(InvalidArgument, match="`every` must be a whole number of at least 1"):
        SampleImages(tmp_path, every=0)
