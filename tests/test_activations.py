"""SiLU and its explicit derivatives."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tf_mdsm.networks.layers import silu


def derivatives(x, orders):
    """The derivatives of SiLU by nested gradient tapes: [value, first, second, …]."""
    if not orders:
        return [silu(x)]
    with tf.GradientTape() as tape:
        tape.watch(x)
        lower = derivatives(x, orders - 1)
    return [*lower, tape.gradient(lower[-1], x)]


@pytest.mark.parametrize("compiled", [False, True])
def test_three_derivatives_against_their_equations(compiled):
    x = np.linspace(-12, 12, 241)
    call = tf.function(derivatives, autograph=False) if compiled else derivatives
    computed = call(tf.constant(x), 3)
    s = expit(x)
    slope = s * (1 - s)
    expected = [
        x * s,
        s + x * slope,
        slope * (2 + x * (1 - 2 * s)),
        slope * (3 * (1 - 2 * s) + x * (1 - 6 * slope)),
    ]
    for order, (value, reference) in enumerate(zip(computed, expected, strict=True)):
        np.testing.assert_allclose(
            value, reference, rtol=1e-9, atol=1e-12, err_msg=f"order {order}"
        )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_large_numbers(dtype):
    """No overflow and no NaN; the slopes are 0 and 1, at each precision."""
    x = tf.cast(tf.constant([-1e4, -100.0, 0.0, 100.0, 1e4]), dtype)
    value, first, second = (np.asarray(part, np.float32) for part in derivatives(x, 2))
    np.testing.assert_array_equal(value, np.asarray(x, np.float32) * [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(first, [0, 0, 0.5, 1, 1])
    np.testing.assert_array_equal(second, [0, 0, 0.5, 0, 0])


def test_gradient_of_a_weighted_sum():
    """The outer gradient tape of training also needs the derivative in the upstream factor."""
    generator = np.random.default_rng(0)
    x, factor = (tf.constant(generator.normal(size=20)) for _ in range(2))
    with tf.GradientTape() as outer:
        outer.watch([x, factor])
        with tf.GradientTape() as inner:
            inner.watch(x)
            energy = tf.reduce_sum(factor * silu(x))
        loss = tf.reduce_sum(inner.gradient(energy, x) ** 2)
    gradient_x, gradient_factor = outer.gradient(loss, [x, factor])
    _, first, second = derivatives(x, 2)
    np.testing.assert_allclose(gradient_x, 2 * factor**2 * first * second, rtol=1e-10)
    np.testing.assert_allclose(gradient_factor, 2 * factor * first**2, rtol=1e-10)
