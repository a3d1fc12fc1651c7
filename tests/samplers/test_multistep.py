"""The two-step method: its order of convergence, one clean image, one gradient a step."""

import numpy as np
import tensorflow as tf

from tests.helpers.denoiser_samplers import (
    MIDDLE,
    SHAPE,
    STD,
    advance,
    gaussian,
    int_seeds,
    one_image,
    target,
)
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.multistep import Multistep
from tf_mdsm.samplers.schedules import falling_sigmas
from tf_mdsm.samplers.starts import IsotropicStart


def final(energy_and_score, method, images):
    """Images after the last step."""
    state, _ = advance(target(energy_and_score), method, images)
    return state[0]


def test_it_converges_to_the_exact_flow_with_second_order():
    """x(sigma) = m + (x0 - m) sqrt((s^2 + sigma^2) / (s^2 + sigma_max^2))."""
    sigma_max, sigma_min = 2.0, 0.1
    offset = tf.random.stateless_normal((6, *SHAPE), [1, 2])
    square = tf.reduce_mean(offset**2, (1, 2, 3), keepdims=True)
    # Distances at which the blind denoiser estimates the noise level exactly.
    offset *= tf.sqrt((STD**2 + sigma_max**2) / square)
    fall = np.sqrt((STD**2 + sigma_min**2) / (STD**2 + sigma_max**2))
    errors = []
    for num_steps in (8, 16, 32):
        sigmas = falling_sigmas(sigma_max, sigma_min, num_steps + 1)
        images = final(gaussian, Multistep(sigmas), MIDDLE + offset)
        errors.append(np.abs((images - MIDDLE) / offset.numpy() - fall).max() / fall)
    assert errors[-1] < 0.001
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert ((orders > 1.8) & (orders < 2.2)).all(), (orders, errors)


def test_it_is_exact_for_one_clean_image():
    """For one clean image the flow is a straight line."""
    images = IsotropicStart(3.0).noisy_images(int_seeds(3), SHAPE)
    method = Multistep(falling_sigmas(3.0, 0.1, 4))
    sampled = final(one_image, method, images)
    np.testing.assert_allclose(sampled - MIDDLE, (images - MIDDLE) / 30, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(method.finish(target(one_image), sampled), MIDDLE, atol=1e-6)


def test_the_first_step_is_eulers():
    """As DPM-Solver++ has it; ancestral sampling without its noise is Euler's method too."""
    images = IsotropicStart(1.0).noisy_images(int_seeds(3), SHAPE)
    sigmas = np.array([1.0, 0.4], np.float32)
    images_after = final(gaussian, Multistep(sigmas), images)
    denoised = images + 0.01 * gaussian(images)[1]
    np.testing.assert_allclose(images_after, 0.4 * images + 0.6 * denoised, rtol=1e-5, atol=1e-6)


def test_the_second_step_extrapolates_what_is_denoised():
    """By h / (2 h_before): with levels that halve, half of the difference."""
    images = IsotropicStart(1.0).noisy_images(int_seeds(3), SHAPE)
    on, method = target(gaussian), Multistep([1.0, 0.5, 0.25])
    first = images + 0.01 * gaussian(images)[1]
    halfway = 0.5 * images + 0.5 * first
    second = halfway + 0.01 * gaussian(halfway)[1]
    expected = 0.5 * halfway + 0.5 * (second + 0.5 * (second - first))
    state, energies = advance(on, method, images)
    np.testing.assert_allclose(state[0], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state[1], second, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(energies, [gaussian(x)[0] for x in (images, halfway)], rtol=1e-4)


def test_a_gradient_a_level():
    sigmas = falling_sigmas(1.0, 0.1, 6)
    assert Multistep(sigmas).max_gradient_evaluations == 6
    assert AncestralEuler(sigmas).max_gradient_evaluations == 6
