"""Annealed Langevin dynamics: the stationary distribution of Gaussians and mixtures."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.metropolis_targets import POSITIVE_OF_TWO_MODES, two_modes
from tests.helpers.targets import FunctionTarget
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.schedules import annealing_temperatures
from tf_mdsm.samplers.starts import IsotropicStart

SHAPE = (4, 4, 1)


def gaussian(std):
    """Energy and score of N(0, std^2)."""

    def energy_and_score(x):
        return tf.reduce_sum(x**2, (1, 2, 3)) / (2 * std**2), -x / std**2

    return energy_and_score


def int_seeds(count, first=0):
    return tf.range(first, first + count, dtype=tf.int64)


def langevin(energy_and_score, images, seeds, temperatures, step_size):
    """Images after annealed Langevin dynamics, and the energy at each step."""
    target = FunctionTarget(energy_and_score, tuple(images.shape[1:]), sigma0=0.1)
    method = AnnealedLangevin(temperatures, step_size, denoise=False)
    return method.advance(target, images, seeds, 0, method.num_steps)


def compiled_langevin(energy_and_score, images, seeds, temperatures, step_size):
    @tf.function(autograph=False)
    def compiled(images, seeds):
        return langevin(energy_and_score, images, seeds, temperatures, step_size)

    return compiled(images, seeds)


@pytest.mark.parametrize("temperature", [1.0, 0.25])
def test_stationary_variance(temperature):
    """Exact for the discretized dynamics: variance T s^2 / (1 - eps^2 / (4 s^2))."""
    std, step_size, count = 0.5, 0.4, 2_000
    start = tf.zeros((count, *SHAPE))
    temperatures = np.full(15, temperature, np.float32)
    images, _ = compiled_langevin(gaussian(std), start, int_seeds(count), temperatures, step_size)
    expected = temperature * std**2 / (1 - step_size**2 / (4 * std**2))
    pixels = count * np.prod(SHAPE)
    # After 15 steps the start has a weight of (1 - 0.32)^30, practically zero.
    assert np.var(images) == pytest.approx(expected, rel=4.5 * np.sqrt(2 / pixels))
    assert abs(np.mean(images)) < 4.5 * np.sqrt(expected / pixels)


def test_temperature_is_the_square_of_the_noise_level():
    """If E is the energy of noise of level sigma0, exp(-E/T) is noise of level sigma0 sqrt(T)."""
    sigma0, temperature, count = 0.1, 16.0, 1_000
    images, _ = compiled_langevin(
        gaussian(sigma0),
        0.4 * tf.random.stateless_normal((count, *SHAPE), [1, 2]),
        int_seeds(count),
        np.full(60, temperature, np.float32),
        0.04,
    )
    corrected = np.std(images) * np.sqrt(1 - 0.04**2 / (4 * sigma0**2))
    assert corrected == pytest.approx(
        sigma0 * np.sqrt(temperature), rel=5 / np.sqrt(2 * count * np.prod(SHAPE))
    )


def test_images_do_not_change_without_gradient_and_temperature():
    start = IsotropicStart().noisy_images(int_seeds(3), SHAPE)

    def flat(x):
        return tf.zeros(tf.shape(x)[0]), tf.zeros_like(x)

    images, energies = compiled_langevin(flat, start, int_seeds(3), np.zeros(7, np.float32), 0.02)
    np.testing.assert_array_equal(images, start)
    assert energies.shape == (7, 3)


def test_weights_of_two_modes_are_sampled():
    """Annealing down to T = 1, with modes of weights 0.3 and 0.7."""
    count = 1_000
    seeds = int_seeds(count)
    temperatures = annealing_temperatures(4.0, 30, 120, 0)
    temperatures = np.concatenate([temperatures, np.ones(100, np.float32)])
    start = IsotropicStart().noisy_images(seeds, (1, 1, 1))
    images, _ = compiled_langevin(two_modes, start, seeds, temperatures, 0.2)
    share = np.mean(images.numpy() > 0)
    # The steps are not exact: hence the additional tolerance.
    assert share == pytest.approx(POSITIVE_OF_TWO_MODES, abs=4.5 * np.sqrt(0.21 / count) + 0.01)


def correlated_gaussian():
    """A Gaussian with positively correlated pixels, and its precision.

    Known pixels get no noise, as sigma0 = 0.
    """
    precision = tf.constant(4.0 * np.eye(4, dtype=np.float32) - 0.9)

    def energy_and_score(x):
        flat = tf.reshape(x - 0.5, [-1, 4])
        gradient = tf.matmul(flat, precision)
        energy = 0.5 * tf.reduce_sum(flat * gradient, 1)
        return energy, -tf.reshape(gradient, tf.shape(x))

    return FunctionTarget(energy_and_score, (2, 2, 1), sigma0=0.0), precision.numpy()


def test_unknown_pixels_have_the_conditional_distribution():
    """Given known pixels without noise (sigma0 = 0), it is a Gaussian of known moments."""
    count, temperature = 2_000, 0.04
    target, precision = correlated_gaussian()
    temperatures = np.full(150, temperature)
    method = AnnealedLangevin(temperatures, 0.3, denoise=False, start=IsotropicStart())
    images = tf.tile(tf.reshape(tf.constant([0.9, 0.0, 0.0, 0.2]), [1, 2, 2, 1]), [count, 1, 1, 1])
    mask = tf.tile(tf.reshape(tf.constant([1.0, 0.0, 0.0, 1.0]), [1, 2, 2, 1]), [count, 1, 1, 1])
    inpaint = tf.function(method.inpaint, autograph=False)
    sampled = inpaint(target, images, mask, int_seeds(count)).numpy().reshape(count, 4)
    np.testing.assert_array_equal(sampled[:, [0, 3]], np.tile(np.float32([0.9, 0.2]), (count, 1)))
    unknown, known = [1, 2], [0, 3]
    inner = precision[np.ix_(unknown, unknown)]
    mean = 0.5 - np.linalg.solve(inner, precision[np.ix_(unknown, known)] @ [0.4, -0.3])
    # Each eigenvalue k of the inner block has variance T / (k (1 - eps^2 k / 4)).
    values, vectors = np.linalg.eigh(inner)
    variances = temperature / (values * (1 - 0.3**2 * values / 4))
    covariance = vectors @ np.diag(variances) @ vectors.T
    spread = np.sqrt(np.diag(covariance))
    assert np.abs((sampled[:, unknown].mean(0) - mean) / spread).max() < 5 / np.sqrt(count)
    errors = (np.cov(sampled[:, unknown].T) - covariance) / np.outer(spread, spread)
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count)


def test_known_pixels_have_noise_of_the_temperatures_level():
    """Before each gradient evaluation their noise has the level sigma0 sqrt(T)."""
    count, sigma0 = 2_000, 0.1
    evaluated = []

    def energy_and_score(x):
        evaluated.append(x)
        return tf.zeros(tf.shape(x)[0]), tf.zeros_like(x)

    temperatures = np.float32([25.0, 4.0])
    method = AnnealedLangevin(temperatures, 0.01, denoise=False)
    target = FunctionTarget(energy_and_score, (2, 2, 1), sigma0)
    method.inpaint(
        target, tf.fill([count, 2, 2, 1], 0.7), tf.ones([count, 2, 2, 1]), int_seeds(count)
    )
    for state, temperature in zip(evaluated, temperatures, strict=True):
        level = sigma0 * np.sqrt(temperature)
        assert np.mean(state) == pytest.approx(0.7, abs=5 * level / np.sqrt(4 * count))
        assert np.std(state) == pytest.approx(level, rel=5 / np.sqrt(2 * 4 * count))
