"""Layers for images of any size, against NumPy's padding and the layers of one size."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.networks import noisy_images
from tf_mdsm.networks import free_size
from tf_mdsm.networks.layers import from_patches, to_patches

SIZES = [(5, 7), (8, 8), (9, 16), (15, 6)]


def of_any_size(layer, channels):
    """The layer in a graph that does not know the size."""
    spec = tf.TensorSpec([None, None, None, channels], tf.float32)
    return tf.function(layer, input_signature=[spec], autograph=False)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_images_are_continued_by_their_mirror_image(height, width):
    images = noisy_images(2, height, width, 3)
    missing = ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0))
    expected = np.pad(images, missing, mode="reflect")
    layer = free_size.MirrorPadding(8, reach=1)
    for pad in (layer, of_any_size(layer, 3)):
        np.testing.assert_array_equal(pad(images), expected)


def test_images_of_a_right_size_are_not_touched():
    images = noisy_images(1, 8, 16, 1)
    assert free_size.MirrorPadding(8, reach=1).call(images) is images
    assert free_size.CropLike().call([images, images]) is images


@pytest.mark.parametrize("multiple", [1, 2, 3, 8, 12])
def test_the_smallest_side_can_be_mirrored(multiple):
    layer = free_size.MirrorPadding(multiple, reach=1)
    side = layer.smallest_side
    assert layer(noisy_images(1, side, side, 1)).shape[1] % multiple == 0
    if side > 1 and -(side - 1) % multiple:
        with pytest.raises(tf.errors.InvalidArgumentError):
            of_any_size(layer, 1)(noisy_images(1, side - 1, side - 1, 1))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_cropping_undoes_padding(height, width):
    images = noisy_images(2, height, width, 3)
    padded = free_size.MirrorPadding(8, reach=1)(images)
    np.testing.assert_array_equal(free_size.CropLike()([images, padded]), images)


@pytest.mark.parametrize("size", [2, 3])
def test_patches_are_those_of_one_size(size):
    images = noisy_images(2, 4 * size, 2 * size, 3)
    x = keras.Input(images.shape[1:])
    patches = keras.Model(x, to_patches(x, size, "float32", "cut"))(images)
    cut, join = free_size.CutPatches(size), free_size.JoinPatches(size)
    for layer in (cut, of_any_size(cut, 3)):
        np.testing.assert_array_equal(layer(images), patches)
    y = keras.Input(patches.shape[1:])
    assert keras.Model(y, from_patches(y, size, "float32", "join"))(patches).shape == images.shape
    for layer in (join, of_any_size(join, 3 * size**2)):
        np.testing.assert_array_equal(layer(patches), images)


def test_shapes_are_known_before():
    free = (None, None, None, 12)
    assert free_size.MirrorPadding(8, 1).compute_output_shape(free) == free
    assert free_size.MirrorPadding(8, 1).compute_output_shape((2, 9, None, 1)) == (2, 16, None, 1)
    assert free_size.CutPatches(2).compute_output_shape((2, 8, None, 3)) == (2, 4, None, 12)
    assert free_size.JoinPatches(2).compute_output_shape((2, 8, None, 12)) == (2, 16, None, 3)
    assert free_size.CropLike().compute_output_shape([(2, 5, None, 3), free]) == (2, 5, None, 12)


def test_layers_are_saved_with_their_arguments():
    for layer in (free_size.MirrorPadding(8, 33), free_size.CutPatches(3)):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()
    assert (again.size, layer.size) == (3, 3)
