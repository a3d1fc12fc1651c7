"""The loss, its weights and its minimizers, against closed forms for Gaussian data."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm import losses
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels

# Standard deviation of the data's pixels.
STD = 0.5
SHAPE = (4, 4, 1)


def data(count, seed=0):
    """Clean images from N(0, STD^2 I) and noise from N(0, I), both [count, *SHAPE]."""
    generator = np.random.default_rng(seed)
    clean = STD * generator.standard_normal((count, *SHAPE)).astype(np.float32)
    noise = generator.standard_normal(clean.shape).astype(np.float32)
    return tf.constant(clean), tf.constant(noise)


def loss_factors(levels, sigma):
    """Kernel variance and weight of each image, as keyword arguments of `mdsm_losses`."""
    return {
        "kernel_variance": losses.kernel_variances(sigma, levels.weighting, levels.sigma0),
        "weight": losses.loss_weights(sigma, levels.weighting, levels.sigma_data),
    }


@pytest.mark.parametrize(
    ("weighting", "variances", "weights"),
    [
        ("inverse_square", [0.01, 0.01], [4.0, 0.25]),
        ("constant", [0.01, 0.01], [1.0, 1.0]),
        ("score", [0.25, 4.0], [4.0, 0.25]),
        ("edm", [0.01, 0.01], [20.0, 16.25]),
    ],
)
def test_kernel_variances_and_weights(weighting, variances, weights):
    sigma = tf.constant([0.5, 2.0])
    factors = loss_factors(NoiseLevels(sigma0=0.1, weighting=weighting), sigma)
    np.testing.assert_allclose(factors["kernel_variance"], variances, rtol=1e-6)
    np.testing.assert_allclose(factors["weight"], weights, rtol=1e-6)


def test_an_unknown_weighting_is_refused():
    """The loss knows the same weightings as `NoiseLevels`."""
    sigma = tf.constant([0.5])
    message = "`weighting` must be one of inverse_square, constant, score, edm. Received: cubic"
    for call in (
        lambda: losses.kernel_variances(sigma, "cubic", 0.1),
        lambda: losses.loss_weights(sigma, "cubic", 0.25),
        lambda: NoiseLevels(weighting="cubic"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            call()


def best_stiffness(levels, count=100_000):
    """The k for which the energy E = k ||x||^2 / 2 has the smallest loss.

    The loss is a parabola in k, so three values of it give its minimum.
    """
    clean, noise = data(count)
    sigma = tf.constant(np.resize(levels.sigmas, count))
    noisy = clean + sigma[:, None, None, None] * noise
    factors = loss_factors(levels, sigma)

    def loss(stiffness):
        def energy(x):
            return stiffness * tf.reduce_sum(x**2, (1, 2, 3)) / 2

        each = losses.mdsm_losses(energy, clean, noisy, **factors)
        return float(np.mean(each.numpy(), dtype=np.float64))

    below, middle, above = loss(0.0), loss(1.0), loss(2.0)
    return 1.0 + 0.5 * (below - above) / (below - 2 * middle + above)


LEVELS = {"sigma_min": 0.1, "sigma_max": 1.0, "num_levels": 10, "sigma0": 0.3}


def test_minimizer_of_the_papers_loss():
    """k* = (1 / sigma0^2) / mean_sigma[(s^2 + sigma^2) / sigma^2], with s = STD (derived)."""
    levels = NoiseLevels(**LEVELS)
    expected = 1 / levels.sigma0**2 / np.mean((STD**2 + levels.sigmas**2) / levels.sigmas**2)
    # Relative standard error of k from n = 1.6 million pixels is below 0.3 %.
    assert best_stiffness(levels) == pytest.approx(expected, rel=0.01)


def test_minimizer_of_the_constant_weighting():
    """k* = (1 / sigma0^2) mean[sigma^2] / mean[s^2 + sigma^2]."""
    levels = NoiseLevels(**LEVELS, weighting="constant")
    squares = levels.sigmas**2
    expected = np.mean(squares) / levels.sigma0**2 / np.mean(STD**2 + squares)
    assert best_stiffness(levels) == pytest.approx(expected, rel=0.01)


def test_minimizer_of_the_score_weighting():
    """k* = mean[sigma^2] / mean[sigma^2 (s^2 + sigma^2)]: each level has weight sigma^2."""
    levels = NoiseLevels(**LEVELS, weighting="score")
    squares = levels.sigmas**2
    expected = np.mean(squares) / np.mean(squares * (STD**2 + squares))
    assert best_stiffness(levels) == pytest.approx(expected, rel=0.01)


def test_minimizer_of_the_edm_weighting():
    """k* = (1 / sigma0^2) mean[w sigma^2] / mean[w (s^2 + sigma^2)] with EDM's weight w."""
    levels = NoiseLevels(**LEVELS, weighting="edm")
    squares = levels.sigmas**2
    weights = 1 / squares + 1 / levels.sigma_data**2
    expected = np.mean(weights * squares) / np.mean(weights * (STD**2 + squares))
    assert best_stiffness(levels) == pytest.approx(expected / levels.sigma0**2, rel=0.01)


def test_one_level_gives_the_score_and_the_best_denoiser():
    """With one noise level, both weightings lead to D(x) = x s^2 / (s^2 + sigma^2)."""
    for weighting, kernel_variance in (("inverse_square", 0.3**2), ("score", 0.5**2)):
        levels = NoiseLevels(0.5, 0.5, 1, sigma0=0.3, weighting=weighting)
        shrinkage = kernel_variance * best_stiffness(levels)
        assert shrinkage == pytest.approx(0.5**2 / (STD**2 + 0.5**2), rel=0.01)


def test_loss_of_a_flat_energy_is_the_number_of_pixels():
    clean, noise = data(5_000)
    levels = NoiseLevels()
    sigma = tf.constant(np.resize(levels.sigmas, len(clean)))
    noisy = clean + sigma[:, None, None, None] * noise

    def flat_energy(x):
        return 0.0 * tf.reduce_sum(x, (1, 2, 3))

    each = losses.mdsm_losses(flat_energy, clean, noisy, **loss_factors(levels, sigma))
    pixels = np.prod(SHAPE)
    # Each loss has a chi-square distribution with 16 degrees of freedom.
    assert np.mean(each) == pytest.approx(pixels, abs=4.5 * np.sqrt(2 * pixels / len(clean)))


def test_loss_of_a_plain_denoiser():
    """f(x) = a x on images of variance s^2: E loss = l d ((1 - a)^2 s^2 + a^2 sigma^2)."""
    clean, noise = data(5_000)
    sigma, a = 0.7, 0.4
    each = losses.denoiser_losses(
        lambda x: a * x, clean, clean + sigma * noise, weight=tf.fill([len(clean)], 3.0)
    )
    variance, pixels = (1 - a) ** 2 * STD**2 + a**2 * sigma**2, np.prod(SHAPE)
    # Each loss is that variance times 3 times a chi-square variable of 16 degrees of freedom.
    error = 4.5 * np.sqrt(2 * pixels / len(clean))
    assert np.mean(each) / (3 * variance) == pytest.approx(pixels, abs=error)


def test_noise_level_is_the_root_mean_square_of_what_is_removed():
    images = tf.constant([[[[1.0], [2.0]]], [[[0.0], [0.0]]]])
    denoised = tf.constant([[[[4.0], [-2.0]]], [[[0.0], [0.0]]]])
    np.testing.assert_allclose(losses.noise_level(images, denoised), [np.sqrt(12.5), 0.0])


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_bias_of_the_noise_level(sigma):
    """sigma^2 less the mean squared error of D, which is sigma^2 c / (c + sigma^2) for N(0, c)."""
    count, variances = 4_000, np.geomspace(1e-4, 1.0, 16).reshape(SHAPE)
    generator = np.random.default_rng(0)
    clean = np.sqrt(variances) * generator.standard_normal((count, *SHAPE))
    noisy = tf.constant(clean + sigma * generator.standard_normal(clean.shape), tf.float32)

    def energy(x):  # Of N(0, c + sigma^2), with sigma0 = sigma: D is the conditional mean.
        return tf.reduce_sum(x**2 / (variances + sigma**2).astype(np.float32), (1, 2, 3)) / 2

    denoised = losses.denoise(energy, noisy, sigma)
    square = np.mean(losses.noise_level(noisy, denoised).numpy().astype(float) ** 2)
    # A mean over `count` images of quadratic forms with 16 terms of relative variance 2.
    tolerance = 5 * np.sqrt(2 / count)
    error_of_denoiser = np.mean((denoised - clean) ** 2)
    assert square == pytest.approx(sigma**2 - error_of_denoiser, rel=tolerance * 3)
    expected = sigma**2 * np.mean(sigma**2 / (variances + sigma**2))
    assert square == pytest.approx(expected, rel=tolerance)
    assert square < sigma**2


def test_denoise_and_gradient_of_a_quadratic_energy():
    images = tf.random.stateless_normal((3, *SHAPE), [1, 2])

    def energy_fn(x):
        return 2.5 * tf.reduce_sum(x**2, (1, 2, 3))

    energy, gradient = losses.energy_and_gradient(energy_fn, images)
    np.testing.assert_allclose(energy, energy_fn(images))
    np.testing.assert_allclose(gradient, 5 * images, rtol=1e-6)
    np.testing.assert_allclose(losses.denoise(energy_fn, images, 0.1), 0.95 * images, rtol=1e-6)


def test_map_of_noise_levels():
    """The root of the mean over a window and the channels; at borders over what is there."""
    generator = np.random.default_rng(0)
    images, denoised = generator.standard_normal((2, 2, 5, 4, 3)).astype(np.float32)
    levels = losses.noise_level_map(tf.constant(images), tf.constant(denoised), window=3)
    expected = np.empty((2, 5, 4))
    for image, row, column in np.ndindex(2, 5, 4):
        around = np.s_[image, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        expected[image, row, column] = np.sqrt(np.mean((denoised - images)[around] ** 2))
    np.testing.assert_allclose(levels, expected, rtol=1e-5)
    # A window larger than the image: its noise level everywhere.
    levels = losses.noise_level_map(tf.constant(images), tf.constant(denoised), window=11)
    whole = losses.noise_level(tf.constant(images), tf.constant(denoised))
    np.testing.assert_allclose(levels, np.ones((5, 4)) * whole[:, None, None], rtol=1e-5)
