"""Building a network by its name: what is refused, initial weights, precision, saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.networks import noisy_images
from tf_mdsm import losses
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks import heads
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network


@pytest.mark.parametrize(
    ("name", "shape", "head", "message"),
    [
        ("res50", (32, 32, 3), None, "`name` must be one of res6"),
        ("res12", (30, 30, 1), None, "`image_size` must be divisible by 8"),
        ("res34", (8, 8, 1), None, "`image_size` must be divisible by 16"),
        ("res12", (32, 32, 1), "cubic", "`head` must be one of quadratic"),
        ("res12", (32, 32, 1), "distance", "`head` must be one of quadratic"),
        ("unet", (32, 32, 1), "linear", "`head` must be one of distance"),
        ("unet", (28, 32, 1), None, "`image_size` must be divisible by 8"),
        ("unet", (32, 28, 1), None, "`image_size` must be divisible by 8"),
    ],
)
def test_invalid_arguments_are_refused(name, shape, head, message):
    with pytest.raises(InvalidArgument, match=message):
        build_network(name, shape, 4, head=head)


def test_the_unets_structure_decides_which_images_fit():
    structure = UNetStructure(patch_size=3, num_resolutions=3)
    network = build_network("unet", (24, 12, 2), 2, structure=structure)
    assert network(noisy_images(2, 24, 12, 2)).shape == (2,)
    with pytest.raises(InvalidArgument, match="`image_size` must be divisible by 12"):
        build_network("unet", (16, 16, 1), 2, structure=structure)


@pytest.mark.parametrize(
    ("name", "shape", "head"),
    [
        ("res6", (8, 8, 1), heads.QuadraticHead),
        ("dense", (5, 3, 2), heads.QuadraticHead),
        ("unet", (8, 8, 1), heads.DistanceHead),
    ],
)
def test_each_network_has_its_name_and_default_head(name, shape, head):
    network = build_network(name, shape, 1)
    assert network.name == name
    assert isinstance(network.get_layer("energy"), head)
    assert network(noisy_images(2, *shape)).shape == (2,)


def test_initial_weights_are_pytorchs_default():
    """Uniform in +-1/sqrt(fan_in), and different for each array."""
    network = build_network("res12", (32, 32, 1), 16, seed=3)
    first = []
    for variable in network.trainable_variables:
        layer = network.get_layer(variable.path.split("/")[0])
        fan_in = np.prod(getattr(layer, "kernel", getattr(layer, "kernel_1", None)).shape[:-1])
        values = variable.numpy().ravel() * np.sqrt(fan_in)
        assert np.abs(values).max() <= 1, variable.path
        if len(values) > 1_000:
            # The sample's standard deviation has a relative standard error below
            # 1 / sqrt(5 n) = 1.4 %.
            assert values.std() == pytest.approx(1 / np.sqrt(3), rel=0.07), variable.path
        first.append(values[0])
    assert len(np.unique(first)) == len(first)


@pytest.mark.parametrize("name", ["res6", "dense", "unet"])
def test_the_seed_determines_the_initial_weights(name):
    network, again, other = (build_network(name, (8, 8, 1), 2, seed=seed) for seed in (3, 3, 4))
    for ours, same, different in zip(
        network.trainable_variables,
        again.trainable_variables,
        other.trainable_variables,
        strict=True,
    ):
        np.testing.assert_array_equal(ours, same)
        assert not np.array_equal(ours, different)


def test_mixed_precision_keeps_head_and_weights_in_float32():
    shape = (16, 16, 1)
    full = build_network("res12", shape, 8, seed=2)
    mixed = build_network("res12", shape, 8, seed=2, precision="mixed_bfloat16")
    images = noisy_images(8, *shape)
    energy, gradient = losses.energy_and_gradient(full, images)
    mixed_energy, mixed_gradient = losses.energy_and_gradient(mixed, images)
    assert all(v.dtype == "float32" for v in mixed.variables)
    assert mixed_energy.dtype == mixed_gradient.dtype == tf.float32
    assert mixed.get_layer("stage1_block0_conv1").compute_dtype == "bfloat16"
    # bfloat16 has 8 bits: each of about ten layers rounds by up to 2^-9.
    difference = np.linalg.norm(mixed_gradient - gradient) / np.linalg.norm(gradient)
    assert 0 < difference < 10 * 2**-8
    np.testing.assert_allclose(mixed_energy, energy, rtol=0.1, atol=0.02)


def test_saved_weights_load_again(tmp_path):
    network = build_network("res6", (8, 8, 1), 2, seed=1)
    network.save_weights(tmp_path / "energy.weights.h5")
    other = build_network("res6", (8, 8, 1), 2, seed=9)
    other.load_weights(tmp_path / "energy.weights.h5")
    images = noisy_images(2, 8, 8, 1)
    np.testing.assert_array_equal(network(images), other(images))


@pytest.mark.parametrize("head", ["quadratic", "linear"])
def test_a_network_can_be_cloned(head):
    network = build_network("res6", (8, 8, 1), 2, head=head, seed=1)
    clone = keras.Model.from_config(network.get_config())
    clone.set_weights(network.get_weights())
    images = noisy_images(2, 8, 8, 1)
    np.testing.assert_array_equal(network(images), clone(images))


FREE = (None, None, 1)


@pytest.mark.parametrize(
    ("name", "shape", "structure", "message"),
    [
        ("res6", FREE, None, "`name` must be unet for images of any size"),
        ("dense", FREE, None, "`name` must be unet for images of any size"),
        ("unet", (8, None, 1), None, "`image_shape` must have both height and width, or None"),
        ("unet", FREE, UNetStructure(attention_size=4), "attention_size` must be 0 for images of"),
    ],
)
def test_networks_that_cannot_take_any_size_are_refused(name, shape, structure, message):
    with pytest.raises(InvalidArgument, match=message):
        build_network(name, shape, 4, structure=structure)
