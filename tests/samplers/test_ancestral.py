"""Ancestral Euler: the variance of a Gaussian, one clean image."""

import itertools

import numpy as np
import pytest
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
    one_image,
    one_step,
    samplers,
)
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.schedules import falling_sigmas
from tf_mdsm.samplers.starts import isotropic_start


@pytest.mark.parametrize("name", ["churned_heun", "ancestral"])
def test_distribution_at_each_level_is_exact_for_one_clean_image(name):
    """It is N(m, sigma_i^2 I) at each level, however coarse the grid is."""
    count = 500
    sampler = samplers(one_image)[name]
    images, step = sampler.start_fn(int_seeds(count)), one_step(sampler, int_seeds(count))
    for index, sigma in enumerate(sampler.sigmas[1:]):
        images = step(tf.constant(images), index)
        spread = np.sqrt(np.mean((images - MIDDLE) ** 2))
        assert spread == pytest.approx(sigma, rel=5 / np.sqrt(2 * count * SIZE)), index
        assert abs(np.mean(images) - MIDDLE) < 5 * sigma / np.sqrt(count * SIZE), index


def test_ancestral_variance_follows_its_recursion_and_approaches_the_datas():
    """In many dimensions the variance v of a Gaussian goes from level sigma to sigma' as
    v' = v (a + (1 - a) r^2)^2 + sigma'^2 (1 - r^2), a = s^2 / v, r = sigma' / sigma."""
    count, biases = 500, []
    for num_levels in (9, 33):
        sigmas = falling_sigmas(2.0, 0.05, num_levels)
        sampler = AncestralEuler(gaussian, isotropic_start(SHAPE), SIGMA0, sigmas)
        width = np.sqrt(STD**2 + 4.0)
        start = isotropic_start(SHAPE, float(width))(int_seeds(count, first=7_000))
        variance = width**2
        for sigma, next_sigma in itertools.pairwise(sigmas):
            kept, ratio = STD**2 / variance, (next_sigma / sigma) ** 2
            variance *= (kept + (1 - kept) * ratio) ** 2
            variance += next_sigma**2 * (1 - ratio)
        images, _ = advance(sampler, start)
        sample_variance = np.mean((images - MIDDLE) ** 2)
        # The sampling error, and the error of finitely many dimensions.
        tolerance = 5 * np.sqrt(2 / (count * SIZE)) + 2 / SIZE
        assert sample_variance == pytest.approx(variance, rel=tolerance)
        biases.append(sample_variance / (STD**2 + 0.05**2) - 1)
    assert abs(biases[1]) < 0.05, biases
    assert abs(biases[1]) < abs(biases[0]) / 2.5, "not of first order"
