"""SiLU and its derivatives."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tf_mdsm.networks.layers import silu


def derivatives(x, orders):
    """Of sum silu(x), by nested tapes: [value, first, second, …]."""
    if not orders:
        return [silu(x)]
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = derivatives(x, orders - 1)
    return [*found, tape.gradient(found[-1], x)]


@pytest.mark.parametrize("compiled", [False, True])
def test_three_derivatives(compiled):
    x = np.linspace(-12, 12, 241)
    call = tf.function(derivatives, autograph=False) if compiled else derivatives
    found = call(tf.constant(x), 3)
    s = expit(x)
    slope = s * (1 - s)
    expected = [
        x * s,
        s + x * slope,
        slope * (2 + x * (1 - 2 * s)),
        slope * (3 * (1 - 2 * s) + x * (1 - 6 * slope)),
    ]
    for order, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12, err_msg=f"order {order}")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_large_numbers(dtype):
    """No overflow, no NaN, and the slopes 0 and 1, whatever the precision."""
    x = tf.cast(tf.constant([-1e4, -100.0, 0.0, 100.0, 1e4]), dtype)
    value, first, second = (np.asarray(part, np.float32) for part in derivatives(x, 2))
    np.testing.assert_array_equal(value, np.asarray(x, np.float32) * [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(first, [0, 0, 0.5, 1, 1])
    np.testing.assert_array_equal(second, [0, 0, 0.5, 0, 0])


def test_gradient_of_a_weighed_sum():
    """What the outer tape of training asks for: derivatives in the inner one's factor too."""
    generator = np.random.default_rng(0)
    x, factor = (tf.constant(generator.normal(size=20)) for _ in range(2))
    with tf.GradientTape() as outer:
        outer.watch([x, factor])
        with tf.GradientTape() as inner:
            inner.watch(x)
            energy = tf.reduce_sum(factor * silu(x))
        loss = tf.reduce_sum(inner.gradient(energy, x) ** 2)
    in_x, in_factor = outer.gradient(loss, [x, factor])
    _, first, second = derivatives(x, 2)
    np.testing.assert_allclose(in_x, 2 * factor**2 * first * second, rtol=1e-10)
    np.testing.assert_allclose(in_factor, 2 * factor * first**2, rtol=1e-10)
