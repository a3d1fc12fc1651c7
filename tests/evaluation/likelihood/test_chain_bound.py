"""The bound by the ancestral chain: closed forms, levels, noise."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.helpers.flat_gaussian import FlatGaussian
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood import chain_bound
from tf_mdsm.evaluation.likelihood.chain_bound import (
    ChainBound,
    ChainTerms,
    NoisyGuesses,
    choose_levels,
    log_normal_density,
    squared_norms,
)
from tf_mdsm.evaluation.likelihood.pixel_decoder import PixelDecoder, fit_decoder
from tf_mdsm.evaluation.likelihood.start_density import StartDensity
from tf_mdsm.samplers.starts import IsotropicStart

SIGMA_MAX, SIGMA_MIN = 3.0, 0.02


def bound_of(gaussian: FlatGaussian, images: np.ndarray, num_levels: int) -> ChainTerms:
    """The bound with levels and decoder fitted to the same images."""
    seeds = np.arange(len(images))
    guesses = NoisyGuesses(gaussian.denoise, gaussian.shape)
    grid = np.geomspace(SIGMA_MAX, SIGMA_MIN, 17)
    found = [guesses.at_level(images, sigma, 100 + n, seeds)[1] for n, sigma in enumerate(grid)]
    errors = np.array([squared_norms(images - guess).mean() for guess in found])
    decoder = fit_decoder(images, found[-1], gray_levels=None)
    density = StartDensity(gaussian.start(SIGMA_MAX), gaussian.shape)
    levels = choose_levels(grid, errors, num_levels)
    return ChainBound(guesses, density, levels, decoder).terms(images, seeds)


@pytest.mark.parametrize(("shape", "rank"), [((8, 8, 1), 2), ((32, 32, 1), 8)])
def test_it_lies_above_the_truth_and_falls_to_it_with_more_levels(shape, rank):
    gaussian = FlatGaussian(shape, rank)
    images = gaussian.images(128)
    truth = gaussian.nats(images)
    gaps = []
    for num_levels in (5, 20, 80):
        terms = bound_of(gaussian, images, num_levels)
        assert terms.levels.shape == (128, num_levels - 1)
        gap = terms.total - truth
        gaps.append(gap.mean())
        assert gap.mean() > -4 * gap.std() / 128**0.5
    assert gaps[0] > gaps[1] > gaps[2]
    # A twentieth of a bit a value: the denoiser has to estimate the noise level in the image.
    assert gaps[2] / math.prod(shape) < 0.05 * math.log(2)


def test_in_two_dimensions_a_denoiser_that_knows_its_level_comes_near():
    """The sum over levels is one of rectangles above an integral that is known.

    For x ~ N(1/2, s^2 I), E |x - D|^2 = d s^2 sigma^2 / (s^2 + sigma^2), so the integral over
    u = 1 / sigma^2 of half of it is (d / 2) log((1 + s^2 u_1) / (1 + s^2 u_0)).
    """
    s, size, count = 0.4, 2, 100
    sigmas = np.geomspace(SIGMA_MAX, SIGMA_MIN, count)
    images = np.float32(0.5 + s * np.random.default_rng(0).standard_normal((4_000, 1, 2, 1)))
    known = tf.Variable(0.0)
    guesses = NoisyGuesses(lambda x: 0.5 + (x - 0.5) * s**2 / (s**2 + known**2), (1, 2, 1))
    errors, expected = [], size * s**2 * sigmas**2 / (s**2 + sigmas**2)
    for number, sigma in enumerate(sigmas):
        known.assign(sigma)
        _, guess = guesses.at_level(images, sigma, number, np.arange(len(images)))
        errors.append(squared_norms(images - guess).mean())
    # The relative error of a mean square of 8,000 normal numbers.
    np.testing.assert_allclose(errors, expected, rtol=5 * (2 / 8_000) ** 0.5)
    steps = np.diff(sigmas**-2.0)
    total = (0.5 * steps * errors[:-1]).sum()
    exact = size / 2 * np.log((1 + s**2 / SIGMA_MIN**2) / (1 + s**2 / SIGMA_MAX**2))
    # Rectangles exceed the integral by at most the sum of falls within them.
    excess = (0.5 * steps * (expected[:-1] - expected[1:])).sum()
    assert -0.01 * exact < total - exact < excess + 0.01 * exact


def test_the_start_term_is_the_divergence_of_two_gaussians():
    """KL[N(x, sigma^2 I) || N(1/2, sigma^2 I)] = |x - 1/2|^2 / (2 sigma^2)."""
    images = np.random.default_rng(0).uniform(size=(2_000, 2, 2, 1)).astype(np.float32)
    density = StartDensity(IsotropicStart(2.0), (2, 2, 1))
    guesses = NoisyGuesses(tf.identity, (2, 2, 1))
    bound = ChainBound(
        guesses, density, np.array([2.0, 1.0]), PixelDecoder(np.ones(1), np.ones((1, 1)), 256)
    )
    terms = bound.terms(images, np.arange(2_000))
    expected = squared_norms(images - 0.5) / 8
    error = terms.start - expected
    assert abs(error.mean()) < 4 * error.std() / 2_000**0.5
    assert terms.total == pytest.approx(terms.start + terms.levels.sum(1) + terms.decoding)


def test_the_best_levels_of_a_small_grid(monkeypatch):
    """Against all choices; the errors are those of N(0, 0.3^2) in closed form."""
    monkeypatch.setattr(chain_bound, "_GRID", 9)
    sigmas = np.geomspace(2.0, 0.05, 9)
    errors = 0.09 * sigmas**2 / (0.09 + sigmas**2)

    def total(levels: np.ndarray) -> float:
        at = 0.09 * levels**2 / (0.09 + levels**2)
        return float((0.5 * np.diff(levels**-2.0) * at[:-1]).sum())

    for count in (2, 4, 9):
        choices = itertools.combinations(range(1, 8), count - 2)
        best = min(total(sigmas[[0, *inner, 8]]) for inner in choices)
        found = choose_levels(sigmas, errors, count)
        assert len(found) == count
        assert (np.diff(found) < 0).all()
        assert (found[0], found[-1]) == pytest.approx((2.0, 0.05))
        assert total(found) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("count", [1, 0, 514])
def test_numbers_of_levels_that_cannot_be_chosen(count):
    with pytest.raises(InvalidArgument, match=r"`num_levels` must lie in \[2, 513\]"):
        choose_levels(np.array([2.0, 1.0]), np.array([1.0, 0.5]), count)


def test_the_noise_of_an_image_is_that_of_its_seed():
    images = np.random.default_rng(0).uniform(size=(4, 3, 3, 1)).astype(np.float32)
    guesses = NoisyGuesses(tf.identity, (3, 3, 1))
    noisy, guess = guesses.at_level(images, 0.5, 7, np.arange(4))
    np.testing.assert_array_equal(noisy, guess)
    alone, _ = guesses.at_level(images[2:3], 0.5, 7, np.array([2]))
    np.testing.assert_array_equal(alone[0], noisy[2])
    other, _ = guesses.at_level(images, 0.5, 8, np.arange(4))
    assert (other != noisy).all()
    # Standard normal noise: a chi-square test over all of 4 x 9 values, at 1e-6.
    squares = squared_norms((noisy - images) / 0.5).sum()
    assert 1e-6 < stats.chi2(36).cdf(squares) < 1 - 1e-6


def test_the_density_of_noise():
    random = np.random.default_rng(1)
    images, noisy = random.normal(size=(2, 5, 2, 2, 1))
    expected = stats.norm(images, 0.7).logpdf(noisy).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(log_normal_density(noisy, images, 0.7), expected, rtol=1e-12)
