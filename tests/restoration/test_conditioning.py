"""Conditioning a sampler on known values y = A x."""

import numpy as np
import tensorflow as tf

from tests.helpers.targets import FunctionTarget
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import Downsampling
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.starts import IsotropicStart

COUNT = 500


def normal(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).standard_normal(shape), tf.float32)


def block_means(images):
    return images.numpy().reshape(len(images), 2, 2, 2, 2).mean((2, 4))[..., None]


def known(count=COUNT):
    """Means of blocks of 2 x 2 pixels are known in images of 4 x 4 pixels."""
    values, seeds = normal(count, 2, 2, 1), tf.range(count, dtype=tf.int64)
    return KnownMeasurement(Downsampling(2), values, seeds)


def test_the_nearest_image_with_the_values():
    """It has the known means, and the rest of the image is unchanged."""
    images = normal(COUNT, 4, 4, 1, seed=1)
    projected = known().project(images)
    np.testing.assert_allclose(2 * block_means(projected), known().values, atol=1e-5)
    rest = [x.numpy() - block_means(x).repeat(2, 1).repeat(2, 2) for x in (images, projected)]
    np.testing.assert_allclose(*rest, atol=1e-5)


def test_noise_is_added_to_what_is_measured():
    """It has the level sigma along the measured directions, and none along the others."""
    images, sigma = normal(COUNT, 4, 4, 1, seed=1), 0.3
    noisy = known().project_noisy(images, 5, sigma) - known().project(images)
    measured = Downsampling(2).measure(noisy).numpy()
    np.testing.assert_allclose(Downsampling(2).adjoint(measured), noisy, atol=1e-5)
    count = measured.size
    assert abs(measured.mean()) < 4.5 * sigma / np.sqrt(count)
    assert abs(measured.std() / sigma - 1) < 4.5 / np.sqrt(2 * count)
    other_step = known().project_noisy(images, 6, sigma) - known().project(images)
    correlation = np.corrcoef(np.ravel(noisy), np.ravel(other_step))[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(count)


def test_values_of_other_images():
    images = normal(5, 4, 4, 1, seed=1)
    changed = known(5).with_values_from(images)
    np.testing.assert_allclose(changed.values, 2 * block_means(images), atol=1e-5)
    np.testing.assert_array_equal(changed.seeds, known(5).seeds)


def test_restored_images_have_the_conditional_distribution():
    """The target is a Gaussian; block means are known without noise (sigma0 = 0)."""
    count, step_size, temperature = 4_000, 0.5, 0.04
    precision = (4.0 * np.eye(4) - 0.9).astype(np.float32)

    def energy_and_score(x):
        flat = tf.reshape(x - 0.5, [-1, 4])
        gradient = tf.matmul(flat, precision)
        return 0.5 * tf.reduce_sum(flat * gradient, 1), -tf.reshape(gradient, tf.shape(x))

    # The start is forgotten by a factor of 1 - 0.5^2 * 4 / 2 = 1/2 a step.
    temperatures = np.full(40, temperature, np.float32)
    method = AnnealedLangevin(temperatures, step_size, denoise=False, start=IsotropicStart())
    target = FunctionTarget(energy_and_score, (2, 2, 1), sigma0=0.0)
    values = tf.fill([count, 1, 1, 1], 1.6)
    known = KnownMeasurement(Downsampling(2), values, tf.range(count, dtype=tf.int64))
    sampled = tf.function(lambda: method.sample_given(target, known), autograph=False)().numpy()
    np.testing.assert_allclose(Downsampling(2).measure(sampled), values, atol=1e-5)
    flat = sampled.reshape(count, 4)
    # The mean is fixed; in all directions orthogonal to it the precision is 4.
    variance = temperature / (4.0 * (1 - step_size**2 * 4.0 / 4))
    expected = variance * (np.eye(4) - 0.25)
    errors = (np.cov(flat.T) - expected) / variance
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count)
    assert np.abs(flat.mean(0) - 0.8).max() < 5 * np.sqrt(variance / count)
