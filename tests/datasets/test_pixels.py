"""Conversion of pixels to floats."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.datasets.pixels import to_float


def test_bytes_become_floats_from_0_to_1():
    pixels = to_float(tf.constant([[0, 51, 255]], tf.uint8))
    assert pixels.dtype == tf.float32
    np.testing.assert_allclose(pixels, [[0.0, 0.2, 1.0]], rtol=np.finfo(np.float32).eps)


@pytest.mark.parametrize("dtype", [tf.float16, tf.float32, tf.float64])
def test_floats_keep_their_values(dtype):
    pixels = to_float(tf.constant([0.0, 0.25, 1.0], dtype))
    assert pixels.dtype == tf.float32
    np.testing.assert_array_equal(pixels, [0.0, 0.25, 1.0])
