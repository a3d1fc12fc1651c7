"""Names, shapes and layouts of the authors' arrays, against those of their files."""

import numpy as np
import pytest

from tests.helpers import golden
from tf_mdsm.networks import pytorch_layout as layout
from tf_mdsm.networks.architectures import FEATURE_HEADS, RESNET_STAGES
from tf_mdsm.networks.build import build_network

# Height, width and channels, all different.
FEATURES = (2, 3, 5)


@pytest.mark.parametrize("name", golden.FILES)
def test_entries_are_the_authors_arrays_in_their_order(name):
    """The golden files hold all but the unused normalization."""
    theirs = golden.state_dict(name)
    channels, image_channels = theirs["conv1.conv.weight"].shape[:2]
    shape = (32, 32, image_channels)
    entries = layout.state_dict_entries(name, shape, channels, "quadratic")
    used = [(entry.name, entry.shape) for entry in entries if entry.variable_path]
    assert used == [(name, array.shape) for name, array in theirs.items()]


@pytest.mark.parametrize("head", FEATURE_HEADS)
@pytest.mark.parametrize("name", RESNET_STAGES)
def test_each_variable_of_our_network_is_one_entry(name, head):
    shape = (32, 16, 3)
    variables = {
        variable.path: variable for variable in build_network(name, shape, 2, head=head).variables
    }
    entries = layout.state_dict_entries(name, shape, 2, head)
    paths = [entry.variable_path for entry in entries if entry.variable_path]
    assert sorted(paths) == sorted(variables)
    for entry in entries:
        if entry.variable_path:
            assert np.prod(entry.shape) == np.prod(variables[entry.variable_path].shape)
        else:
            assert entry.name.split(".")[1] in ("bn1", "bn2")


def test_normalization_has_the_shape_of_its_blocks_input():
    """At the block that halves the image a second time: half the sides, twice the channels."""
    entries = layout.state_dict_entries("res12", (32, 16, 1), 3, "linear")
    shapes = {entry.name: entry.shape for entry in entries}
    assert shapes["rb2.bn1.weight"] == shapes["rb2.bn2.bias"] == (6, 16, 8)
    assert shapes["rbc2.bn1.weight"] == (12, 8, 4)


@pytest.mark.parametrize("name", ["res6", "res34"])
def test_the_head_receives_features_of_this_shape(name):
    network = build_network(name, (32, 16, 3), 2)
    (flatten,) = (layer for layer in network.layers if layer.name.startswith("flatten"))
    assert layout.feature_shape(name, (32, 16, 3), 2) == flatten.input.shape[1:]


def test_kernels_are_transposed():
    kernel = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    ours = layout.to_keras_layout(kernel, FEATURES)
    assert ours.shape == (5, 7, 3, 2)
    assert ours[4, 1, 2, 0] == kernel[0, 2, 4, 1]


def test_weights_of_the_head_follow_the_order_of_the_features():
    height, width, channels = FEATURES
    weights = np.arange(30).reshape(1, 30)
    ours = layout.to_keras_layout(weights, FEATURES)
    assert ours.shape == (30, 1)
    for h, w, c in np.ndindex(*FEATURES):
        # Theirs: channel by channel. Ours: pixel by pixel.
        assert ours[(h * width + w) * channels + c, 0] == (c * height + h) * width + w


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 30), (4,)])
def test_the_two_conversions_are_inverse(shape):
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    ours = layout.to_keras_layout(array, FEATURES)
    back = layout.to_pytorch_layout(ours.astype(np.float64), FEATURES)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.float32
    assert back.flags.c_contiguous


def test_untrained_normalization_scales_by_one_and_adds_nothing():
    assert layout.untrained_normalization_value("rb1.bn1.weight") == 1
    assert layout.untrained_normalization_value("rb1.bn1.bias") == 0
