"""Global settings of Keras and TensorFlow: a model computes the same under all of them."""

import contextlib
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.eager import uncompiled
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.evaluation.classifier import train_classifier
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.training.optimizers import Adam

EVERY_PART = UNetStructure(
    patch_size=2, num_resolutions=2, num_blocks=1, attention_size=4, scale_input=True
)
IMAGES = np.random.default_rng(0).uniform(size=(4, 8, 8, 2)).astype(np.float32)


@contextlib.contextmanager
def setting(name: str, value: str):
    """A global setting of Keras: "floatx", "dtype_policy" or "image_data_format"."""
    before = getattr(keras.config, name)()
    getattr(keras.config, f"set_{name}")(value)
    try:
        yield
    finally:
        getattr(keras.config, f"set_{name}")(before)


SETTINGS = {
    "mixed_bfloat16": lambda: setting("dtype_policy", "mixed_bfloat16"),
    "mixed_float16": lambda: setting("dtype_policy", "mixed_float16"),
    "float64": lambda: setting("floatx", "float64"),
    "float16": lambda: setting("floatx", "float16"),
    "channels_first": lambda: setting("image_data_format", "channels_first"),
}


def outputs(name: str, precision: str = "float32") -> list[np.ndarray]:
    """Energies in every way, and denoised images, of a new model with averaged weights."""
    network = build_network(name, (8, 8, 2), 2, precision=precision, structure=EVERY_PART)
    model = EnergyModel(network, NoiseLevels(num_levels=8), ema_momentum=0.9)
    return [
        np.asarray(value)
        for value in (network(IMAGES), model.energy(IMAGES), model(IMAGES), model.denoise(IMAGES))
    ]


@pytest.mark.parametrize("name", ["res6", "unet", "dense"])
@pytest.mark.parametrize("key", SETTINGS)
def test_a_network_follows_its_arguments_only(name, key):
    """Equal bit for bit: `precision` decides, and images are [B, H, W, C]."""
    expected = outputs(name)
    with SETTINGS[key]():
        found = outputs(name)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_the_networks_own_precision_is_kept():
    expected = outputs("res6", precision="mixed_bfloat16")
    assert not np.array_equal(expected[0], outputs("res6")[0])
    with setting("floatx", "float64"):
        for ours, theirs in zip(outputs("res6", "mixed_bfloat16"), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def trained() -> tuple[list[np.ndarray], dict]:
    """Weights and losses of a toy model after `fit` on three batches."""
    model = EnergyModel(build_network("dense", (8, 8, 2), 2), NoiseLevels(num_levels=8))
    model.compile(Adam(1e-3))
    history = model.fit(tf.data.Dataset.from_tensors(IMAGES).repeat(3), verbose=0).history
    return model.network.get_weights(), history


@pytest.fixture(scope="module")
def expected_training():
    """The same under the settings of every process."""
    return trained()


def assert_same_training(found, expected, tolerance: float) -> None:
    for ours, theirs in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert found[1]["loss"] == pytest.approx(expected[1]["loss"], rel=max(tolerance, 1e-6))


@pytest.mark.parametrize("key", SETTINGS)
def test_training_follows_the_models_arguments_only(key, expected_training):
    with SETTINGS[key]():
        found = trained()
    # Under floatx "float16" Keras rounds the learning rate, which is a variable of its own.
    assert_same_training(found, expected_training, tolerance=1e-5 if key == "float16" else 1e-7)


def test_a_seed_set_globally_changes_nothing(expected_training):
    keras.utils.set_random_seed(1)
    assert_same_training(trained(), expected_training, tolerance=0)


def test_functions_may_run_eagerly(expected_training):
    """As one does to debug: `tf.config.run_functions_eagerly(True)`."""
    with uncompiled():
        found = trained()
    assert_same_training(found, expected_training, tolerance=1e-5)


def classifier(folder: pathlib.Path) -> keras.Model:
    """A classifier of the images after one step of training."""
    return train_classifier(IMAGES, np.arange(4), str(folder / "classifier.keras"), steps=1)


@pytest.fixture(scope="module")
def expected_classifier(tmp_path_factory):
    return classifier(tmp_path_factory.mktemp("classifier"))


@pytest.mark.parametrize("key", ["mixed_bfloat16", "channels_first"])
def test_the_classifier_follows_no_setting(key, expected_classifier, tmp_path):
    with SETTINGS[key]():
        found = classifier(tmp_path)
    for ours, theirs in zip(found.get_weights(), expected_classifier.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found(IMAGES), expected_classifier(IMAGES), rtol=1e-5, atol=1e-6)
