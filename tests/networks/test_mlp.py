"""The dense network against its equation."""

import keras
import numpy as np
import pytest
from scipy.special import expit

from tests.helpers.networks import assert_derivatives
from tf_mdsm.networks.architectures import FEATURE_HEADS
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.mlp import mlp


def test_three_dense_layers_with_silu_of_the_stretched_interval():
    images = keras.Input((1, 1, 2), dtype="float64")
    features = mlp(images, channels=5, seeds=iter(range(6)), dtype="float64")
    network = keras.Model(images, features)
    points = np.random.default_rng(0).uniform(-0.5, 1.5, (7, 1, 1, 2))
    x = 8 * points.reshape(7, 2) - 4
    for depth in (1, 2, 3):
        kernel, bias = (weight.numpy() for weight in network.get_layer(f"dense{depth}").weights)
        x = x @ kernel + bias
        x = x * expit(x)
    np.testing.assert_allclose(network(points), x, rtol=1e-12)


@pytest.mark.parametrize("head", FEATURE_HEADS)
def test_derivatives_by_finite_differences(head):
    assert_derivatives(build_network("dense", (1, 1, 2), 4, head=head, precision="float64"))
