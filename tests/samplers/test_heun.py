"""Heun's method: its order of convergence, one clean image, churn."""

import numpy as np
import tensorflow as tf

from tests.helpers.denoiser_samplers import (
    MIDDLE,
    SHAPE,
    SIGMA0,
    SIZE,
    STD,
    advance,
    gaussian,
    int_seeds,
    methods,
    one_image,
    target,
)
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.schedules import falling_sigmas
from tf_mdsm.samplers.starts import IsotropicStart


def test_heun_converges_to_the_exact_flow_with_second_order():
    """x(sigma) = m + (x0 - m) sqrt((s^2 + sigma^2) / (s^2 + sigma_max^2))."""
    sigma_max, sigma_min = 2.0, 0.1
    offset = tf.random.stateless_normal((6, *SHAPE), [1, 2])
    square = tf.reduce_mean(offset**2, (1, 2, 3), keepdims=True)
    # Distances at which the blind denoiser estimates the noise level exactly.
    offset *= tf.sqrt((STD**2 + sigma_max**2) / square)
    fall = np.sqrt((STD**2 + sigma_min**2) / (STD**2 + sigma_max**2))
    errors = []
    for num_steps in (12, 24, 48):
        sigmas = falling_sigmas(sigma_max, sigma_min, num_steps + 1)
        images, _ = advance(target(gaussian), Heun(sigmas), MIDDLE + offset)
        errors.append(np.abs((images - MIDDLE) / offset.numpy() - fall).max() / fall)
    assert errors[-1] < 0.001
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert ((orders > 1.8) & (orders < 2.4)).all(), (orders, errors)


def test_heun_is_exact_for_one_clean_image():
    """For one clean image the flow is a straight line."""
    images = IsotropicStart(3.0).noisy_images(int_seeds(3), SHAPE)
    sigmas = falling_sigmas(3.0, 0.1, 4)
    sampled, energies = advance(target(one_image), Heun(sigmas), images)
    np.testing.assert_allclose(sampled - MIDDLE, (images - MIDDLE) / 30, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(Heun(sigmas).finish(target(one_image), sampled), MIDDLE, atol=1e-6)
    expected = [one_image(MIDDLE + (images - MIDDLE) * sigma / 3)[0] for sigma in sigmas[:-1]]
    np.testing.assert_allclose(energies, expected, rtol=1e-3)


def test_churn_noise_stays_below_the_first_level():
    """Gradients are evaluated at (1 + churn / N) sigma_i, but not above the first level."""
    count = 200
    method = methods()["churned_heun"]
    start = method.start_images(target(one_image), int_seeds(count))
    _, energies = advance(target(one_image), method, start)
    levels = np.sqrt(2 * SIGMA0**2 * energies.mean(1) / SIZE)
    expected = np.minimum(1.25 * method.sigmas[:-1], method.sigmas[0])
    np.testing.assert_allclose(levels, expected, rtol=5 / np.sqrt(2 * count * SIZE))
