"""Adaptation: step sizes with the wanted acceptance, temperatures at equal distances."""

import numpy as np
import pytest

from tests.helpers.annealing import ExactPath
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.adaptation import Adaptation, adapt, adaptation_betas


def test_step_sizes_have_the_wanted_acceptance_and_deviations_are_those_of_the_chains():
    """A step of epsilon is accepted in exp(-epsilon / (1 + beta)) of the cases.

    The standard deviation of n values a z^2, z normal, has the relative error sqrt(3.5 / n).
    """
    path, count, visited = ExactPath(std=0.5), 2_000, []
    adaptation = adapt(
        path,
        num_betas=6,
        seeds=np.arange(count),
        rounds=40,
        acceptance=0.7,
        on_betas=visited.append,
    )
    expected = -np.log(0.7) * (1 + adaptation.betas[1:])
    np.testing.assert_allclose(adaptation.step_sizes, expected, rtol=0.01)
    np.testing.assert_allclose(adaptation.accepted, 0.7, atol=0.01)
    deviations = path.deviation(adaptation.betas)
    tolerance = 5 * np.sqrt(3.5 / count)
    np.testing.assert_allclose(adaptation.deviations, deviations, rtol=tolerance)
    assert sum(visited) == 2 * 5
    # No chain uses a random number twice.
    assert len({counter for counter, _, _ in path.moves}) == len(path.moves)
    # Up over fixed betas, and down over those at equal thermodynamic distances.
    betas = list(dict.fromkeys(beta for _, beta, _ in path.moves))
    np.testing.assert_allclose(betas[:5], adaptation_betas(6)[1:])
    np.testing.assert_array_equal(betas[5:], adaptation.betas[-2:0:-1])


def test_betas_for_adaptation_are_dense_at_both_ends():
    betas = adaptation_betas(12)
    assert betas.shape == (12,)
    np.testing.assert_allclose(betas + betas[::-1], 1)
    widths = np.diff(betas)
    assert (widths > 0).all()
    assert widths[5] == widths.max() > 100 * max(widths[0], widths[-1])


def test_a_schedule_has_intervals_of_equal_length():
    """Lengths 1.5 and 1; nine tenths of the progress by length, a tenth by beta."""
    adaptation = Adaptation(
        betas=np.array([0, 0.5, 1]),
        deviations=np.array([3.0, 3, 1]),
        step_sizes=np.array([0.1, 0.4]),
        accepted=np.ones(2),
    )
    assert adaptation.thermodynamic_length == pytest.approx(2.5)
    # Progress 0.9 * 0.6 + 0.1 * 0.5 at beta 0.5.
    middle = 0.59
    betas, step_sizes = adaptation.schedule(4)
    expected = np.interp([0.25, 0.5, 0.75], [0, middle, 1], [0, 0.5, 1])
    np.testing.assert_allclose(betas, [0, *expected, 1], rtol=1e-6)
    # From 0.1 to 0.4 in equal factors; constant below the first beta.
    factor = 4 ** ((0.75 - middle) / (1 - middle))
    np.testing.assert_allclose(step_sizes, [0.1, 0.1, 0.1 * factor, 0.4], rtol=1e-6)
    assert betas.dtype == step_sizes.dtype == np.float32


def test_equal_deviations_give_equal_intervals():
    """Also if they are 0 everywhere, as for E = E_ref."""
    for deviation in (2.0, 0.0):
        adaptation = Adaptation(
            np.array([0, 0.3, 1]), np.full(3, deviation), np.full(2, 0.2), np.ones(2)
        )
        betas, step_sizes = adaptation.schedule(10)
        np.testing.assert_allclose(betas, np.linspace(0, 1, 11), rtol=1e-6)
        np.testing.assert_allclose(step_sizes, 0.2, rtol=1e-6)


def test_temperatures_that_are_equal_in_single_precision_are_refused():
    """Nine of ten temperatures lie between 1 - 1e-6 and 1, where there are 17 numbers."""
    adaptation = Adaptation(
        np.array([0, 1 - 1e-6, 1]), np.array([0.0, 0, 1]), np.full(2, 0.2), np.ones(2)
    )
    adaptation.schedule(10)
    with pytest.raises(InvalidArgument, match="num_temperatures"):
        adaptation.schedule(40)


def test_an_energy_that_is_not_finite_ends_the_adaptation():
    path = ExactPath(std=0.5)
    path.energy_differences = lambda images: np.full(len(images), np.inf, np.float32)
    with pytest.raises(RunError, match=r"inverse temperature 0 .* not finite"):
        adapt(path, num_betas=5, seeds=np.arange(4), rounds=2)


def test_moves_that_are_always_refused_end_the_adaptation():
    path = ExactPath(std=0.5, always_refused=True)
    with pytest.raises(RunError, match="all refused, at step size"):
        adapt(path, num_betas=5, seeds=np.arange(4), rounds=2)
