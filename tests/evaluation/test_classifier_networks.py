"""The networks of classifiers: the size of what they see, their features, their initial weights."""

import keras
import numpy as np
import pytest

from tests.helpers.eager import uncompiled
from tf_mdsm.evaluation.classifier_networks import deep_network, small_network

NETWORKS = [small_network, deep_network]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("shape", "seen"), [((32, 8, 1), (32, 8)), ((33, 32, 3), (17, 16)), ((256, 64, 1), (32, 8))]
)
def test_a_network_sees_no_more_than_32_pixels_a_side(network, shape, seen):
    """Its cost does not grow with the images; up to 32 pixels it sees the images themselves."""
    classifier = network(shape, 4)
    first = next(x for x in classifier.layers if isinstance(x, keras.layers.Conv2D))
    images = np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32)
    inputs = keras.Model(classifier.inputs[0], first.input)(images).numpy()
    assert inputs.shape == (2, *seen, shape[-1])
    np.testing.assert_allclose(inputs.mean(), images.mean(), atol=0.05)
    # A block in the middle.
    side = -(-shape[0] // 32)
    block = images[:, side : 2 * side, side : 2 * side].mean((1, 2))
    np.testing.assert_allclose(inputs[:, 1, 1], block, rtol=1e-5)


@pytest.mark.parametrize(("network", "size"), [(small_network, 64), (deep_network, 96)])
def test_logits_depend_on_an_image_through_its_features_alone(network, size):
    classifier = network((12, 12, 1), 5)
    features = classifier.get_layer("features").output
    assert features.shape == (None, size)
    logits = keras.Model(features, classifier.outputs[0])
    images = np.random.default_rng(1).uniform(size=(3, 12, 12, 1)).astype(np.float32)
    with uncompiled():
        values = keras.Model(classifier.inputs[0], features)(images)
        assert np.std(values.numpy(), axis=0).max() > 0
        np.testing.assert_array_equal(logits(values).numpy(), classifier(images).numpy())


@pytest.mark.parametrize("network", NETWORKS)
def test_initial_weights_are_fixed_and_differ_between_layers(network):
    """Seeds of random generators elsewhere change nothing."""
    keras.utils.set_random_seed(1)
    one = [x for x in network((8, 8, 1), 3).get_weights() if x.ndim > 1]
    keras.utils.set_random_seed(2)
    other = [x for x in network((8, 8, 1), 3).get_weights() if x.ndim > 1]
    for weights, same in zip(one, other, strict=True):
        np.testing.assert_array_equal(weights, same)
    assert len({weights.ravel()[0] for weights in one}) == len(one)
