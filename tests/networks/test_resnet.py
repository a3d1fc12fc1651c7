"""The paper's ResNets: their equations, sizes and derivatives."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from tests.helpers.networks import assert_derivatives, noisy_images
from tf_mdsm import losses
from tf_mdsm.networks.architectures import FEATURE_HEADS, RESNET_STAGES
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.convolutions import integer_seeds
from tf_mdsm.networks.resnet import resnet


def plain_resnet(network, x, stages):
    """The features of images by plain convolutions, means of 2x2 pixels, and ELU."""

    def convolve(x, name):
        layer = network.get_layer(name)
        y = ops.conv(x, layer.kernel, padding="same")
        return y + layer.bias if layer.use_bias else y

    x = convolve(x, "stem")
    for stage, extra_blocks in enumerate(stages, start=1):
        for block in range(extra_blocks + 1):
            name = f"stage{stage}_block{block}"
            y = convolve(ops.elu(x), f"{name}_conv1")
            y = convolve(ops.elu(y), f"{name}_conv2")
            if block == 0:
                x, y = ops.average_pool(x, 2), ops.average_pool(y, 2)
            x = y + convolve(x, f"{name}_shortcut")
    return x


def test_features_are_those_of_plain_layers():
    stages, shape = (1, 0), (8, 4, 3)
    images = keras.Input(shape, dtype="float64")
    features = resnet(images, stages, channels=2, seeds=integer_seeds(0), dtype="float64")
    network = keras.Model(images, features)
    x = tf.cast(noisy_images(2, *shape), tf.float64)
    computed = network(x)
    assert computed.shape == (2, 2, 1, 8)
    np.testing.assert_allclose(computed, plain_resnet(network, x, stages), rtol=1e-9, atol=1e-12)


def number_of_parameters(stages, shape, channels):
    """Parameters with the quadratic head, counted layer by layer."""
    height, width, inputs = shape
    count = (9 * inputs + 1) * channels
    for extra_blocks in stages:
        for filters_in in [channels] + [2 * channels] * extra_blocks:
            # Shortcut, first convolution without biases, second one.
            filters = 2 * channels
            count += (filters_in + 1) * filters + 9 * filters_in**2 + (9 * filters_in + 1) * filters
        channels, height, width = 2 * channels, height // 2, width // 2
    return count + 3 * channels * height * width + 3


@pytest.mark.parametrize(
    ("name", "channels", "count"), [("res12", 64, 9_060_483), ("res18", 128, 62_339_075)]
)
def test_numbers_of_parameters(name, channels, count):
    """Those of the paper's networks, for digits and for CIFAR-10."""
    shape = (32, 32, 1 if name == "res12" else 3)
    assert number_of_parameters(RESNET_STAGES[name], shape, channels) == count
    counted = number_of_parameters(RESNET_STAGES[name], shape, 3)
    assert build_network(name, shape, 3).count_params() == counted


@pytest.mark.parametrize("name", RESNET_STAGES)
def test_energies_and_gradients_of_colour_images(name):
    shape = (32, 16, 3)
    network = build_network(name, shape, 2)
    energy, gradient = losses.energy_and_gradient(network, noisy_images(3, *shape))
    assert energy.shape == (3,)
    assert gradient.shape == (3, *shape)
    assert energy.dtype == tf.float32
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_res12_accepts_images_of_eight_pixels():
    assert build_network("res12", (8, 8, 1), 2)(noisy_images(2, 8, 8, 1)).shape == (2,)


@pytest.mark.parametrize(("name", "head"), [*(("res6", h) for h in FEATURE_HEADS), ("res12", None)])
def test_derivatives_by_finite_differences(name, head):
    assert_derivatives(build_network(name, (8, 8, 2), 2, head=head, seed=1, precision="float64"))
