"""Resizing of images: crop, pad, scale, and convert between gray and color."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets import resizing
from tf_mdsm.datasets.resizing import resize, resize_all
from tf_mdsm.errors import InvalidArgument


def test_small_images_are_padded_with_zeros():
    gray = random_uint8(5, 7, 1)
    padded = resize(gray, 9, 1).numpy()
    np.testing.assert_array_equal(padded[2:7, 1:8], gray)
    assert padded.sum() == gray.sum()


def test_gray_and_color_are_converted():
    gray = random_uint8(4, 4, 1)
    np.testing.assert_array_equal(resize(gray, 4, 3), gray.repeat(3, axis=-1))
    color = random_uint8(4, 4, 3)
    weights = [0.2989, 0.5870, 0.1140]
    assert np.abs(resize(color, 4, 1)[..., 0] - color @ weights).max() <= 1


def test_scaling_by_a_half_takes_means_of_2x2_pixels_of_a_smooth_image():
    smooth = np.tile(np.arange(0, 64, 2, dtype=np.float32)[:, None, None] / 64, (1, 32, 1))
    halved = resize(smooth, 16, 1).numpy()
    np.testing.assert_allclose(halved[2:-2, 5, 0], smooth[4:-4:2, 5, 0] + 1 / 64, atol=1e-5)


def test_bytes_are_rounded():
    """The mean of four pixels is 0.75."""
    image = np.array([[0, 1], [1, 1]], np.uint8)[..., None]
    np.testing.assert_array_equal(resize(image, 1, 1), [[[1]]])


def test_wide_images_are_cropped_to_their_central_square():
    wide = np.zeros((10, 20, 1), np.uint8)
    wide[:, 5:15] = 200
    assert (resize(wide, 5, 1).numpy() == 200).all()


def test_a_square_of_a_given_side_is_cropped():
    image = random_uint8(8, 8, 1)
    np.testing.assert_array_equal(resize(image, 4, 1, crop=4), image[2:6, 2:6])


def resized_in_parts_of_two(images, monkeypatch, channels):
    monkeypatch.setattr(resizing, "_BATCH_SIZE", 2)
    return list(resize_all(images, 4, channels, crop=0))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_source_is_resized_in_parts(channels, monkeypatch):
    """An array, a data set and single images give the same."""
    images = random_uint8(5, 6, 5, 3)
    expected = np.stack([resize(image, 4, channels).numpy() for image in images])
    for source in (images, tf.data.Dataset.from_tensor_slices(images), iter(images)):
        parts = resized_in_parts_of_two(source, monkeypatch, channels)
        assert [len(part) for part in parts] == [2, 2, 1]
        assert parts[0].dtype == np.uint8
        # The graph of a data set may round differently.
        assert np.abs(np.concatenate(parts).astype(int) - expected).max() <= 1


def test_images_of_the_right_size_are_not_copied():
    images = random_uint8(5, 4, 4, 1)
    (part,) = resize_all(images, 4, 1, crop=0)
    assert part is images


@pytest.mark.parametrize("make", [np.zeros, lambda shape: iter([np.zeros(shape[1:])])])
def test_numbers_of_channels_that_cannot_be_converted_are_refused(make):
    with pytest.raises(InvalidArgument, match="`channels` must be 3, as the data have"):
        list(resize_all(make((2, 4, 4, 3)), 4, 2, crop=0))
