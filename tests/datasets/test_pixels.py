"""Conversion of pixels to floats, and of images as callers have them."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.datasets.pixels import as_images, to_float, to_float_array
from tf_mdsm.errors import InvalidArgument


def test_bytes_become_floats_from_0_to_1():
    pixels = to_float(tf.constant([[0, 51, 255]], tf.uint8))
    assert pixels.dtype == tf.float32
    np.testing.assert_allclose(pixels, [[0.0, 0.2, 1.0]], rtol=np.finfo(np.float32).eps)


@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64])
def test_floats_keep_their_values(dtype):
    pixels = to_float(tf.constant([0.0, 0.25, 1.0], dtype))
    assert pixels.dtype == tf.float32
    np.testing.assert_array_equal(pixels, [0.0, 0.25, 1.0])


def test_arrays_become_arrays_of_floats():
    pixels = to_float_array(np.array([0, 51, 255], np.uint8))
    assert (type(pixels), pixels.dtype) == (np.ndarray, np.float32)
    np.testing.assert_allclose(pixels, [0, 0.2, 1], rtol=1e-6)
    np.testing.assert_array_equal(to_float_array(np.array([0.25])), np.float32([0.25]))


SHAPE = (4, 4, 1)


@pytest.mark.parametrize("kind", [np.array, tf.constant, np.ndarray.tolist, list])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_images_of_any_kind_and_precision(kind, dtype):
    images = np.linspace(0, 1, 32).reshape(2, *SHAPE).astype(dtype)
    pixels = as_images(kind(images), SHAPE)
    assert pixels.dtype == tf.float32
    np.testing.assert_array_equal(pixels, images.astype(np.float32))


def test_bytes_are_scaled_and_bfloat16_is_cast():
    levels = np.arange(16, dtype=np.uint8).reshape(1, *SHAPE)
    np.testing.assert_allclose(as_images(levels, SHAPE), levels / 255, rtol=1e-6)
    half = tf.cast(levels / 16, tf.bfloat16)
    np.testing.assert_array_equal(as_images(half, SHAPE), levels / 16)


def test_noisy_images_keep_their_values():
    noisy = np.linspace(-300, 300, 16).reshape(1, *SHAPE)
    np.testing.assert_array_equal(as_images(noisy, SHAPE), noisy.astype(np.float32))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 4, 1)), r"have the shape \[B, 4, 4, 1\] \(one image as image\[None\]"),
        (np.zeros((2, 4, 4)), r"\(gray images have one channel as images\[\.\.\., None\]\)"),
        (np.zeros((2, 4, 4, 3)), r"have the shape \[B, 4, 4, 1\]\. Received: \(2, 4, 4, 3\)"),
        (np.zeros((2, 1, 4, 4, 1)), r"have the shape \[B, 4, 4, 1\]"),
        (0.5, r"have the shape \[B, 4, 4, 1\]"),
        (np.zeros((2, *SHAPE), np.int64), r"be uint8 .*, or floats .*dtype int64"),
        (np.zeros((2, *SHAPE), bool), "dtype bool"),
        (np.zeros((2, *SHAPE), np.complex64), "dtype complex64"),
        ("image.png", "dtype string"),
        ([[0.0], [0.0, 1.0]], "be one array of numbers"),
        (object(), "be one array of numbers"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images, message):
    with pytest.raises(InvalidArgument, match=f"`images` must .*{message}"):
        as_images(images, SHAPE)


def test_sizes_that_are_free():
    assert as_images(np.zeros((2, 5, 7, 1)), (None, None, 1)).shape == (2, 5, 7, 1)
    with pytest.raises(InvalidArgument, match=r"have the shape \[B, H, W, 1\]"):
        as_images(np.zeros((2, 5, 7, 3)), (None, None, 1))


def test_checks_add_nothing_to_a_compiled_function():
    """A batch of unknown shape gets its shape, which is checked when it is known."""
    spec = tf.TensorSpec([None, *SHAPE], tf.float32)
    function = tf.function(lambda x: as_images(x, SHAPE), autograph=False)
    operations = {op.type for op in function.get_concrete_function(spec).graph.get_operations()}
    assert operations <= {"Placeholder", "Identity"}

    unknown = tf.TensorSpec(None, tf.float32)
    traced = function.get_concrete_function(unknown)
    assert traced.output_shapes == [None, *SHAPE]
    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible"):
        traced(tf.zeros([2, 4, 4, 3]))
