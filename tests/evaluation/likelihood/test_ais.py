"""Annealed importance sampling: weights and bounds against closed forms."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from tests.helpers.annealing import MEAN, SHAPES, WARM_STD, ExactPath
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood import bounds
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.gaussian import isotropic_reference
from tf_mdsm.evaluation.likelihood.path import AnnealingPath

BETAS = np.array([0, 0.1, 0.4, 1])
WARM_LOG_Z = 2 * np.log(2 * np.pi * WARM_STD**2)


def equal_intervals(path, count: int, step_size: float = 0.4) -> AnnealedImportanceSampling:
    """Along a path at equal distances of beta."""
    return AnnealedImportanceSampling(path, np.linspace(0, 1, count + 1), [step_size] * count)


def samples(count: int) -> np.ndarray:
    """Exact samples of exp(-E / T)."""
    noise = np.random.default_rng(1).standard_normal((count, *SHAPES[4]))
    return np.float32(MEAN + WARM_STD * noise)


def test_mean_log_weights_of_independent_states():
    """Up, an interval counts with the state before its moves; down, with the state after them.

    So the mean log weights are the left and the right Riemann sum of the mean of E_ref - E.
    """
    path, count = ExactPath(std=0.5, offset=1.5), 4_000
    annealing = AnnealedImportanceSampling(path, BETAS, np.ones(3))
    seeds, widths = np.arange(count), np.diff(BETAS)
    up = annealing.run_up(seeds)
    down = annealing.run_down(up.images, seeds)
    log_weights = [annealing.log_weights(chains.differences) for chains in (up, down)]
    for values, betas in zip(log_weights, (BETAS[:-1], BETAS[1:]), strict=True):
        error = np.sqrt(np.sum((widths * path.deviation(betas)) ** 2) / count)
        expected = np.sum(widths * path.mean_difference(betas))
        assert values.mean() == pytest.approx(expected, abs=5 * error)
        assert values.std() == pytest.approx(error * np.sqrt(count), rel=0.2)
    log_z = bounds.bound_log_z(*log_weights)
    assert log_z.low < path.log_z < log_z.high


def test_each_interval_has_its_beta_its_step_size_and_its_own_random_numbers():
    """Also over several compiled calls; results are in the order of beta in both directions."""
    path, seeds = ExactPath(std=0.5), np.array([3, 2**62])
    betas, step_sizes = np.linspace(0, 1, 61), np.linspace(2, 1, 60)
    annealing = AnnealedImportanceSampling(path, betas, step_sizes)
    completed = []
    up = annealing.run_up(seeds, completed.append)
    down = annealing.run_down(up.images, seeds, completed.append)
    rounds = annealing.equilibrate(up.images, seeds, 30, completed.append)
    assert sum(completed) == 60 + 60 + 30
    assert max(completed) < 60
    # The rounds repeat the last interval.
    order = np.concatenate([np.arange(60), np.arange(60)[::-1], np.full(30, 59)])
    counters, moved_betas, moved_sizes = zip(*path.moves, strict=True)
    np.testing.assert_array_equal(moved_betas, annealing.betas[order + 1])
    np.testing.assert_array_equal(moved_sizes, annealing.step_sizes[order])
    assert len(set(counters)) == len(counters)
    accepted = np.exp(-annealing.step_sizes / (1 + annealing.betas[1:]))
    for chains in (up, down):
        np.testing.assert_allclose(chains.accepted, [accepted] * 2, rtol=1e-6)
    np.testing.assert_array_equal(down.differences[:, 0], path.energy_differences(down.images))
    np.testing.assert_array_equal(rounds.differences[:, 0], path.energy_differences(up.images))
    assert rounds.differences.shape == rounds.accepted.shape == (2, 30)


def test_weights_are_exact_if_the_energy_is_the_references():
    """E = E_ref - c: every chain's log weight is c - log Z_ref, whatever the moves do."""
    path = ExactPath(std=1.0, offset=1.5)
    annealing = AnnealedImportanceSampling(path, [0, 0.1, 1], [3.0, 0.1])
    up = annealing.run_up(np.arange(5))
    down = annealing.run_down(up.images, np.arange(5))
    log_weights = [annealing.log_weights(chains.differences) for chains in (up, down)]
    np.testing.assert_allclose(log_weights, path.log_z, atol=1e-5)
    log_z = bounds.bound_log_z(*log_weights)
    assert log_z.high - log_z.low < 1e-4


def test_the_true_log_z_lies_between_the_bounds(warm_path):
    """With moves by HMC; a false alarm in less than three of a thousand.

    tests/slow/test_likelihood_bounds.py asks this of more energies and sizes.
    """
    annealing, seeds = equal_intervals(warm_path, 16), np.arange(100)
    up = annealing.run_up(seeds)
    down = annealing.run_down(samples(len(seeds)), seeds)
    log_weights = [annealing.log_weights(chains.differences) for chains in (up, down)]
    log_z = bounds.bound_log_z(*log_weights)
    assert log_z.low < WARM_LOG_Z < log_z.high
    assert log_z.high - log_z.low < 0.8
    # The means themselves are in order too, not only with their margins.
    errors = np.hypot(log_z.lower.error, log_z.upper.error)
    assert log_z.upper.mean - log_z.lower.mean > -4 * errors


def test_the_mean_weight_is_z_with_few_intervals_and_poor_moves(warm_path):
    """Unbiased with three intervals, and with steps so large that many moves are rejected."""
    annealing, count = equal_intervals(warm_path, 3, step_size=1.5), 1_500
    chains = annealing.run_up(np.arange(count))
    weights = np.exp(annealing.log_weights(chains.differences) - WARM_LOG_Z)
    assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / np.sqrt(count))
    assert chains.accepted.mean() < 0.8


def test_mean_weights_are_exact_in_both_directions_with_good_moves(warm_path):
    """Eight intervals: up the mean weight is Z, down that of the inverse is 1 / Z.

    The moves are good, so that weights with the states after them would be wrong by a quarter.
    """
    annealing, count = equal_intervals(warm_path, 8, step_size=0.4), 3_000
    seeds = np.arange(count)
    up = annealing.log_weights(annealing.run_up(seeds).differences)
    down = annealing.log_weights(annealing.run_down(samples(count), seeds).differences)
    for weights in (np.exp(up - WARM_LOG_Z), np.exp(WARM_LOG_Z - down)):
        error = weights.std() / np.sqrt(count)
        assert weights.mean() == pytest.approx(1, abs=5 * error)
        assert 5 * error < 0.1


BOX = Domain(0.25)


@pytest.fixture(scope="module")
def path_on_a_box():
    """From a Gaussian to c |x - m|^2 - k sum x, whose coefficients the tests assign: [c, m, k]."""
    coefficients = tf.Variable([1.0, 0.0, 0.0])

    def energy_and_score(x):
        curvature, middle, slope = tf.unstack(coefficients)
        energy = tf.reduce_sum(curvature * (x - middle) ** 2 - slope * x, (1, 2, 3))
        return energy, slope - 2 * curvature * (x - middle)

    path = AnnealingPath(energy_and_score, isotropic_reference(SHAPES[4], 0.5, 0.5, domain=BOX))
    path.energy_differences(path.sample_reference([0]))
    path.advance(samples(1), [0], betas=[1], step_sizes=[0.1], counters=[0])
    return path, coefficients


def pixel_integral(curvature: float, middle: float, slope: float) -> float:
    """Of exp(-E) of one pixel over the box, in closed form."""
    low, high = BOX.low, BOX.high
    if not curvature:
        return (np.exp(slope * high) - np.exp(slope * low)) / slope
    root, function = abs(curvature) ** 0.5, special.erf if curvature > 0 else special.erfi
    difference = function(root * (high - middle)) - function(root * (low - middle))
    return np.pi**0.5 / (2 * root) * difference


@pytest.mark.parametrize("values", [(0.0, 0.0, 3.0), (-2.0, 0.5, 0.0), (1.0, 0.2, 0.0)])
def test_log_z_on_a_domain(path_on_a_box, values):
    """Improper energies have one: a linear energy, and -2 |x|^2; and a Gaussian cut off by the box.

    The bounds contain the closed form, the mean weights agree with it in both directions, and
    the states stay inside, also those that lie at its walls.
    """
    path, coefficients = path_on_a_box
    coefficients.assign(values)
    log_z, count = 4 * np.log(pixel_integral(*values)), 400
    grid = np.linspace(BOX.low, BOX.high, 4_001)
    law = np.exp(-values[0] * (grid - values[1]) ** 2 + values[2] * grid)
    uniform = np.random.default_rng(1).uniform(size=(count, *SHAPES[4]))
    exact = np.float32(np.interp(uniform, np.cumsum(law) / law.sum(), grid))
    annealing = equal_intervals(path, 40, step_size=0.2)
    up = annealing.run_up(np.arange(count))
    down = annealing.run_down(exact, np.arange(count))
    log_weights = [annealing.log_weights(chains.differences) for chains in (up, down)]
    mass = path.reference.log_mass
    bounded = bounds.bound_log_z(*log_weights).plus(mass)
    assert bounded.low < log_z < bounded.high < bounded.low + 3
    for weights in (
        np.exp(log_weights[0] + mass.value - log_z),
        np.exp(log_z - mass.value - log_weights[1]),
    ):
        assert weights.mean() == pytest.approx(1, abs=5 * weights.std() / np.sqrt(count))
    for chains in (up, down):
        assert BOX.contains(tf.constant(chains.images)).numpy().all()


def test_a_chain_does_not_depend_on_its_batch(warm_path):
    annealing = equal_intervals(warm_path, 7)
    seeds = np.array([3, 2**40, 11, 4, 2**62])
    up = annealing.run_up(seeds)
    down = annealing.run_down(up.images, seeds)
    for batch in ([0], [1, 2], [3, 4]):
        batch_up = annealing.run_up(seeds[batch])
        batch_down = annealing.run_down(up.images[batch], seeds[batch])
        np.testing.assert_allclose(batch_up.differences, up.differences[batch], rtol=1e-5)
        np.testing.assert_allclose(batch_down.differences, down.differences[batch], rtol=1e-5)
    assert len(np.unique(up.differences[:, 0])) == len(seeds)


def test_equilibration_begins_with_the_given_states(warm_path):
    """`differences` are those before each round; moves at beta = 1 change the images."""
    annealing, images = equal_intervals(warm_path, 7), samples(4)
    chains = annealing.equilibrate(images, np.arange(4), 30)
    assert chains.differences.shape == chains.accepted.shape == (4, 30)
    np.testing.assert_array_equal(chains.differences[:, 0], warm_path.energy_differences(images))
    assert (chains.images != images).any(axis=(1, 2, 3)).all()


def test_an_energy_that_is_not_finite_ends_the_run():
    """The message names the inverse temperature."""
    path = ExactPath(std=0.5)
    annealing = AnnealedImportanceSampling(path, [0, 0.5, 1], [0.3, 0.3])
    path.energy_differences = lambda images: np.full(len(images), np.nan, np.float32)
    with pytest.raises(RunError, match=r"inverse temperature 0\.5 .* not finite"):
        annealing.run_up(np.arange(4))
    with pytest.raises(RunError, match=r"inverse temperature 1 .* not finite"):
        annealing.run_down(np.ones((4, 1, 1, 1)), np.arange(4))


@pytest.mark.parametrize(
    ("betas", "sizes"),
    [([0, 1], []), ([0.1, 1], [1]), ([0, 0.5, 0.5, 1], [1, 1, 1]), ([0, 1], [0]), ([0], [])],
)
def test_wrong_schedules_are_refused(betas, sizes):
    with pytest.raises(InvalidArgument, match=r"betas|step_sizes"):
        AnnealedImportanceSampling(ExactPath(std=0.5), np.array(betas), np.array(sizes))


def test_step_sizes_are_one_for_each_interval():
    with pytest.raises(InvalidArgument, match=r"one for each interval \(3\)"):
        AnnealedImportanceSampling(ExactPath(std=0.5), BETAS, np.ones(2))
