"""Resizing of images: crop, pad, scale, and convert between gray and color."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets import resizing
from tf_mdsm.datasets.resizing import convert_channels, resize, resize_all
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.pixel_values import PixelCheck


def test_small_images_are_padded_with_zeros():
    gray = random_uint8(5, 7, 1)
    padded = resize(gray, 9, 1).numpy()
    np.testing.assert_array_equal(padded[2:7, 1:8], gray)
    assert padded.sum() == gray.sum()


def test_gray_and_color_are_converted():
    gray = random_uint8(4, 4, 1)
    np.testing.assert_array_equal(resize(gray, 4, 3), gray.repeat(3, axis=-1))
    color = random_uint8(64, 64, 3)
    exact = color @ [0.2989, 0.5870, 0.1140]
    for gray in (resize(color, 64, 1).numpy(), convert_channels(color, 1)):
        assert gray.dtype == np.uint8
        # The nearest byte; near a half, where float32 decides, either of the two.
        assert np.abs(gray[..., 0] - exact).max() <= 0.5 + 255 * 2**-22
    floats = (color / 255).astype(np.float32)
    np.testing.assert_allclose(resize(floats, 64, 1)[..., 0], exact / 255, atol=2**-22)


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


@pytest.mark.parametrize("crop", [8, 9, 100])
def test_a_crop_as_large_as_the_image_or_larger_leaves_it_whole(crop):
    """A longer side would put a black frame around it."""
    image = random_uint8(8, 8, 1)
    np.testing.assert_array_equal(resize(image, 8, 1, crop), image)
    assert (resize(np.full((64, 64, 1), 200, np.uint8), 32, 1, 100 + crop).numpy() == 200).all()


def test_a_crop_longer_than_one_side_takes_the_largest_square():
    wide = np.zeros((10, 20, 1), np.uint8)
    wide[:, 5:15] = 200
    assert (resize(wide, 5, 1, crop=15).numpy() == 200).all()


def test_images_smaller_than_both_sizes_are_padded_whole():
    image = random_uint8(6, 9, 1)
    np.testing.assert_array_equal(resize(image, 12, 1, crop=100), resize(image, 12, 1))


@pytest.mark.parametrize(("side", "size"), [(28, 8), (28, 16), (64, 32), (178, 64)])
@pytest.mark.parametrize("value", [0.1, 1.0])
def test_floats_stay_in_their_range_when_they_are_scaled(side, size, value):
    """The rounded weights of a mean add up to more than 1."""
    scaled = resize(np.full((side, side, 3), value, np.float32), size, 3)
    np.testing.assert_array_equal(scaled, np.full((size, size, 3), value, np.float32))


def test_a_data_set_of_unknown_channels_has_those_of_each_image():
    def generate():
        yield from (np.full((4, 4, 1), 60, np.uint8), np.full((4, 4, 3), 90, np.uint8))

    spec = tf.TensorSpec([None, None, None], tf.uint8)
    images = tf.data.Dataset.from_generator(generate, output_signature=spec)
    (part,) = resize_all(images, 4, 1, crop=0, check=PixelCheck("source"))
    assert [int(image.mean()) for image in part] == [60, 90]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 4), np.uint8), "1, 2 or 3 channels .* Received: 4 channels"),
        (np.zeros((4, 4, 1), np.uint16), "hold pixels of uint8, .* Received: uint16"),
        (np.zeros((4, 4, 1), np.int64), "hold pixels of uint8, .* Received: int64"),
        (np.zeros((4, 4, 1), bool), "hold pixels of uint8, .* Received: bool"),
        (np.zeros((2, 4, 4, 1), np.uint8), r"hold images \[H, W, C\]"),
        (np.full((4, 4, 1), np.nan, np.float32), r"hold pixels in \[0, 1\]"),
        (np.full((4, 4, 1), 9, np.float32), r"hold pixels in \[0, 1\]"),
    ],
)
def test_data_sets_of_other_things_are_refused(image, message):
    images = tf.data.Dataset.from_tensors(image)
    with pytest.raises(InvalidArgument, match=message):
        list(resize_all(images, 4, 1, crop=0, check=PixelCheck("source")))


def test_images_are_checked_as_they_are_in_the_source():
    """A white star of one pixel is nearly black when it is scaled down."""
    stars = np.zeros((3, 64, 64, 1), np.uint8)
    stars[:, 30, 30] = 255
    labels = np.full((3, 64, 64, 1), 9, np.uint8)
    for make in (np.array, tf.data.Dataset.from_tensor_slices, iter):
        check = PixelCheck("source")
        assert max(part.max() for part in resize_all(make(stars), 4, 1, 0, check)) < 32
        check.finish()
        list(resize_all(make(labels), 4, 1, 0, unscaled := PixelCheck("source")))
        with pytest.raises(InvalidArgument, match="no value above 9"):
            unscaled.finish()


def resized_in_parts_of_two(images, monkeypatch, channels):
    monkeypatch.setattr(resizing, "_BATCH_SIZE", 2)
    return list(resize_all(images, 4, channels, crop=0, check=PixelCheck("source")))


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
    (part,) = resize_all(images, 4, 1, crop=0, check=PixelCheck("source"))
    assert part is images


@pytest.mark.parametrize("make", [np.zeros, lambda shape: iter([np.zeros(shape[1:])])])
def test_numbers_of_channels_that_cannot_be_converted_are_refused(make):
    with pytest.raises(InvalidArgument, match="`channels` must be 3, as the data have"):
        list(resize_all(make((2, 4, 4, 3)), 4, 2, crop=0, check=PixelCheck("source")))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_channels_are_converted_without_resizing(dtype):
    """As `resize` does; an image that has them already is not copied."""
    gray, color = random_uint8(4, 4, 1).astype(dtype), random_uint8(4, 4, 3).astype(dtype)
    np.testing.assert_array_equal(convert_channels(color, 1), resize(color, 4, 1))
    np.testing.assert_array_equal(convert_channels(gray, 3), resize(gray, 4, 3))
    assert convert_channels(color, 3) is color
    assert convert_channels(random_uint8(9, 5, 3), 1).shape == (9, 5, 1)
    for image, channels in ((color, 2), (random_uint8(4, 4, 4), 3)):
        with pytest.raises(InvalidArgument, match="channels"):
            convert_channels(image, channels)
