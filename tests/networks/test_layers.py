"""Layers: SiLU and its explicit derivatives, input scaling by estimated noise, patches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit

from tests.helpers.networks import noisy_images
from tf_mdsm.networks import layers
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


def test_noise_scaling_by_the_estimated_noise():
    """The estimate is 0 for linear ramps, and right for white noise within its standard error."""
    images = np.zeros((4, 64, 64, 3), np.float32)
    images += np.linspace(0, 1, 64)[:, None, None]
    images[2:] += np.linspace(0, 1, 64)[None, :, None]
    np.testing.assert_allclose(layers.estimate_noise_variance(images), 0, atol=1e-12)
    sigma = np.array([0.1, 0.5, 1.0, 3.0])
    noisy = images + sigma[:, None, None, None] * np.random.default_rng(0).normal(size=images.shape)
    variance = np.asarray(layers.estimate_noise_variance(noisy))
    # Of n = 32 * 32 * 3 coefficients the estimate has the standard error sqrt(2 / n) = 2.6 %.
    np.testing.assert_allclose(variance, sigma**2, rtol=5 * np.sqrt(2 / 3072))
    scaled = layers.NoiseScaling(dtype="float64")(noisy)
    expected = (noisy - 0.5) / np.sqrt(variance + 0.25)[:, None, None, None]
    np.testing.assert_allclose(scaled, expected, rtol=1e-12)


def test_noise_is_estimated_in_images_of_odd_sides():
    noise = np.random.default_rng(0).normal(size=(1, 63, 65, 1))
    even = layers.estimate_noise_variance(noise[:, :62, :64])
    np.testing.assert_allclose(layers.estimate_noise_variance(noise), even)


def run_layers(function, images, *arguments):
    """Applies a function of symbolic images to images."""
    symbolic = keras.Input(images.shape[1:])
    return keras.Model(symbolic, function(symbolic, *arguments))(images).numpy()


def test_patches_hold_their_pixels_and_can_be_inverted():
    images = noisy_images(2, 6, 4, 3)
    cut = run_layers(layers.to_patches, images, 2, "float32", "patches")
    assert cut.shape == (2, 3, 2, 12)
    np.testing.assert_array_equal(cut[1, 2, 0], np.ravel(images[1, 4:6, 0:2]))
    back = run_layers(layers.from_patches, tf.constant(cut), 2, "float32", "back")
    np.testing.assert_array_equal(back, images)


@pytest.mark.parametrize("name", ["SiLU", "NoiseScaling"])
def test_registered_names_stay(name):
    """Saved networks refer to the layers by these names, whatever module they are in."""
    assert keras.saving.get_registered_object(f"tf_mdsm>{name}") is getattr(layers, name)
