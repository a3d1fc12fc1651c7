"""Bounds of log Z from log weights of known distribution."""

import numpy as np
import pytest
from scipy import stats

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood import bounds
from tf_mdsm.evaluation.likelihood.summary import convergence_failures


def test_bounds_of_log_weights():
    """Log weights N(m, s^2) have mean weight exp(m + s^2 / 2)."""
    random, count, spread = np.random.default_rng(0), 20_000, 1.0
    up = 10 - spread**2 / 2 + spread * random.standard_normal(count)
    down = 10 + spread**2 / 2 + spread * random.standard_normal(count)
    log_z = bounds.bound_log_z(up, down)
    for bound, mean in ((log_z.lower, 9.5), (log_z.upper, 10.5)):
        assert bound.mean == pytest.approx(mean, abs=5 * spread / np.sqrt(count))
        assert bound.error == pytest.approx(spread / np.sqrt(count), rel=0.05)
        assert bound.margin == pytest.approx(2.97 * bound.error, rel=0.01)
        assert bound.estimate == pytest.approx(10, abs=5 * bound.estimate_error)
        assert bound.effective_size == pytest.approx(count * np.exp(-(spread**2)), rel=0.1)
    assert log_z.low < 9.5 < 10 < 10.5 < log_z.high
    assert not convergence_failures(log_z, drift=0.0, size=64, tolerance=0.1, min_effective=5)


def test_equal_weights_are_the_estimate():
    """The logarithm of a mean, not of a sum: exact for any number of chains."""
    log_z = bounds.bound_log_z(np.full(3, 1e3), np.full(7, 1e3))
    for bound, count in ((log_z.lower, 3), (log_z.upper, 7)):
        assert bound.mean == bound.estimate == pytest.approx(1e3, rel=1e-12)
        assert bound.margin == pytest.approx(0, abs=1e-9)
        assert bound.effective_size == pytest.approx(count)
    # The weights 1 and 3, whose mean is 2; down, 1 and 1/3 of the inverse weights.
    log_z = bounds.bound_log_z(np.log([1.0, 3]), np.log([1.0, 3]))
    assert log_z.lower.estimate == log_z.log_z == pytest.approx(np.log(2))
    assert log_z.upper.estimate == pytest.approx(np.log(3 / 2))


def test_chains_with_one_starting_point_count_once():
    values = np.random.default_rng(0).standard_normal(50)
    single, _ = bounds.clustered_error(values, np.arange(50))
    fourfold, groups = bounds.clustered_error(values.repeat(4), np.arange(50).repeat(4))
    assert (fourfold, groups) == (pytest.approx(single), 50)
    assert single == pytest.approx(values.std(ddof=1) / np.sqrt(50))
    unknown = bounds.bound_log_z(values, values, origins=np.zeros(50, int))
    assert unknown.high == np.inf
    assert convergence_failures(unknown, drift=0.0, size=64, tolerance=0.1, min_effective=1)


@pytest.mark.parametrize("weights", [np.array([1.0]), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_wrong_weights_are_refused(weights):
    with pytest.raises(InvalidArgument, match="up"):
        bounds.bound_log_z(weights, np.ones(3))


def test_effective_sizes():
    """N equal weights count as N, a single large one as 1; three and one by (sum w)^2 / sum w^2."""
    assert bounds.effective_size(np.full(7, -1e4)) == pytest.approx(7)
    assert bounds.effective_size(np.array([0.0, -900, -1000])) == pytest.approx(1)
    assert bounds.effective_size(np.log([3.0, 1.0])) == pytest.approx(16 / 10)


def test_resampling_in_proportion_to_the_weights():
    """Systematic: N w of N indices, rounded up or down; which way depends on the seed."""
    weights = np.array([0.05, 0.3, 0.0, 0.62, 0.03])
    counts = []
    for seed in range(40):
        with np.errstate(divide="ignore"):
            indices = bounds.resample(np.log(weights) - 1e3, 30, seed)
        assert indices.shape == (30,)
        counts.append(np.bincount(indices, minlength=5))
        assert (np.abs(counts[-1] - 30 * weights) < 1).all()
    # The mean is exact: a rounded share has a standard deviation of at most 1/2.
    np.testing.assert_allclose(np.mean(counts, 0), 30 * weights, atol=4 * 0.5 / 40**0.5)
    assert len(np.unique(counts, axis=0)) > 1


def test_the_mass_of_the_reference_moves_and_widens_the_bounds():
    """All values move by its logarithm; margins add up, errors as independent ones do."""
    random = np.random.default_rng(0)
    before = bounds.bound_log_z(random.standard_normal(50), random.standard_normal(50))
    mass = bounds.LogMass(value=-2.0, error=0.3, low=-2.5, high=-1.75)
    after = before.plus(mass)
    for old, new, margin in ((before.lower, after.lower, 0.5), (before.upper, after.upper, 0.25)):
        assert (new.mean, new.estimate) == pytest.approx((old.mean - 2, old.estimate - 2))
        assert new.margin == pytest.approx(old.margin + margin)
        assert new.error == pytest.approx(np.hypot(old.error, 0.3))
        assert new.estimate_error == pytest.approx(np.hypot(old.estimate_error, 0.3))
        assert new.effective_size == old.effective_size
    assert after.low == pytest.approx(before.low - 2.5)
    assert after.high == pytest.approx(before.high - 1.75)


@pytest.mark.parametrize(("inside", "draws"), [(1, 40), (30, 40), (40, 40)])
def test_the_interval_of_a_probability(inside, draws):
    """At its ends, as many or as few draws inside have the probability 0.0015 (Clopper-Pearson)."""
    mass = bounds.estimate_log_mass(inside, draws)
    share = inside / draws
    assert mass.value == pytest.approx(np.log(share))
    assert mass.error == pytest.approx(np.sqrt(share * (1 - share) / draws) / share)
    assert stats.binom.sf(inside - 1, draws, np.exp(mass.low)) == pytest.approx(0.0015)
    if inside < draws:
        assert stats.binom.cdf(inside, draws, np.exp(mass.high)) == pytest.approx(0.0015)
    else:
        assert mass.high == 0
