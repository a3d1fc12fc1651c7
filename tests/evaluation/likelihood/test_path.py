"""The annealing path: energies along it, and moves that keep its densities."""

import numpy as np
import pytest
from scipy import stats

from tests.helpers.annealing import EVERYWHERE, MEAN, SHAPES, WARM_STD, gaussian
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.gaussian import isotropic_reference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath, require_finite


def test_energy_differences(warm_path):
    """E_ref - E / T, E_ref with its normalization."""
    images = np.random.default_rng(0).uniform(-1, 1, (5, *SHAPES[4])).astype(np.float32)
    flat = images.reshape(5, 4)
    energies = ((flat - MEAN) ** 2).sum(1) / (2 * WARM_STD**2)
    expected = -stats.norm.logpdf(flat).sum(1) - energies
    np.testing.assert_allclose(warm_path.energy_differences(images), expected, rtol=1e-5, atol=1e-5)


def test_samples_of_the_reference(warm_path):
    """Independent N(0, 1), which depend on their seeds only."""
    images = warm_path.sample_reference(np.arange(500))
    assert stats.kstest(images.ravel(), "norm").pvalue > 1e-4
    np.testing.assert_array_equal(warm_path.sample_reference(np.array([7])), images[[7]])


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_moves_keep_the_density_at_beta(warm_path, beta):
    """A Gaussian of precision 1 - beta + beta / s^2; states move far, and stay its samples.

    The densities at other betas differ by more than the tolerance: s = 0.71, and the means are
    0, 0.2 and 0.3.
    """
    weight = beta / WARM_STD**2
    precision = 1 - beta + weight
    mean, std = weight * MEAN / precision, precision**-0.5
    count = 800
    noise = np.random.default_rng(3).standard_normal((count, *SHAPES[4]))
    images = np.float32(mean + std * noise)
    moved, differences, accepted = warm_path.advance(
        images,
        np.arange(count),
        betas=np.full(3, beta),
        step_sizes=np.full(3, 0.6 * std),
        counters=np.arange(3),
    )
    errors = std / np.sqrt(4 * count)
    assert moved.mean() == pytest.approx(mean, abs=5 * errors)
    assert moved.std() == pytest.approx(std, abs=5 * errors / np.sqrt(2))
    correlation = np.corrcoef(moved.ravel(), images.ravel())[0, 1]
    assert abs(correlation) < 0.3
    np.testing.assert_allclose(differences[:, -1], warm_path.energy_differences(moved), rtol=1e-5)
    assert differences.shape == accepted.shape == (count, 3)
    # Of two moves.
    assert {0.5, 1} <= set(np.unique(accepted)) <= {0, 0.5, 1}
    assert 0.7 < accepted.mean() < 1


def test_moves_at_several_betas_are_those_at_one_after_the_other(warm_path):
    """Each with its own beta, step size and random numbers."""
    images, seeds = np.zeros((4, *SHAPES[4]), np.float32), np.arange(4)
    betas, step_sizes, counters = [0.1, 0.9, 0.4], [0.9, 0.3, 0.6], [7, 2**31, 5]
    moved, differences, accepted = warm_path.advance(
        images, seeds, betas=betas, step_sizes=step_sizes, counters=counters
    )
    for i in range(3):
        images, last_differences, last_accepted = warm_path.advance(
            images,
            seeds,
            betas=betas[i : i + 1],
            step_sizes=step_sizes[i : i + 1],
            counters=counters[i : i + 1],
        )
        np.testing.assert_allclose(last_differences[:, 0], differences[:, i], rtol=1e-5)
        np.testing.assert_array_equal(last_accepted[:, 0], accepted[:, i])
    np.testing.assert_allclose(images, moved, rtol=1e-5, atol=1e-6)


def test_moves_depend_on_seeds_and_counters(warm_path):
    """Equal chains with other seeds or counters part."""
    images = np.zeros((2, *SHAPES[4]), np.float32)

    def moved(seeds, counter):
        return warm_path.advance(images, seeds, betas=[0.5], step_sizes=[0.5], counters=[counter])[
            0
        ]

    first = moved([1, 2], 0)
    np.testing.assert_array_equal(moved([1, 2], 0), first)
    assert len(np.unique([*first[:, 0, 0, 0], *moved([1, 2], 2**31)[:, 0, 0, 0]])) == 4


@pytest.mark.parametrize("name", ["temperature", "leapfrog_steps", "moves"])
def test_numbers_that_are_not_positive_are_refused(name):
    for value in (0, -1):
        with pytest.raises(InvalidArgument, match=f"`{name}` must be positive"):
            AnnealingPath(
                gaussian, isotropic_reference(SHAPES[4], domain=EVERYWHERE), **{name: value}
            )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_inverse_temperature_without_a_finite_energy_is_named(value):
    differences = np.zeros((2, 4))
    require_finite(differences, [0, 0.25, 0.5, 1])
    differences[1, 1:3] = value
    with pytest.raises(RunError, match=r"inverse temperature 0\.25 .* not finite"):
        require_finite(differences, [0, 0.25, 0.5, 1])
