"""Ancestral Euler: the variance of a Gaussian, one clean image."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import (
    MIDDLE,
    SHAPE,
    SIZE,
    STD,
    advance,
    gaussian,
    int_seeds,
    methods,
    one_image,
    one_step,
    target,
)
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.schedules import falling_sigmas
from tf_mdsm.samplers.starts import IsotropicStart


@pytest.mark.parametrize("name", ["churned_heun", "ancestral"])
def test_distribution_at_each_level_is_exact_for_one_clean_image(name):
    """It is N(m, sigma_i^2 I) at each level, however coarse the grid is."""
    count = 500
    method, seeds = methods()[name], int_seeds(count)
    images = method.start_images(target(one_image), seeds)
    step = one_step(target(one_image), method, seeds)
    for index, sigma in enumerate(method.sigmas[1:]):
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
        width = np.sqrt(STD**2 + 4.0)
        start = IsotropicStart(float(width)).noisy_images(int_seeds(count, first=7_000), SHAPE)
        variance = width**2
        for sigma, next_sigma in itertools.pairwise(sigmas):
            kept, ratio = STD**2 / variance, (next_sigma / sigma) ** 2
            variance *= (kept + (1 - kept) * ratio) ** 2
            variance += next_sigma**2 * (1 - ratio)
        images, _ = advance(target(gaussian), AncestralEuler(sigmas), start)
        sample_variance = np.mean((images - MIDDLE) ** 2)
        # The sampling error, and the error of finitely many dimensions.
        tolerance = 5 * np.sqrt(2 / (count * SIZE)) + 2 / SIZE
        assert sample_variance == pytest.approx(variance, rel=tolerance)
        biases.append(sample_variance / (STD**2 + 0.05**2) - 1)
    assert abs(biases[1]) < 0.05, biases
    assert abs(biases[1]) < abs(biases[0]) / 2.5, "not of first order"
