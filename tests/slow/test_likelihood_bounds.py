"""The true log Z lies between the bounds, for three energies in up to 1,024 dimensions."""

import numpy as np
import pytest

from tests.helpers.annealing import (
    SHAPES,
    SHARE,
    adapted_annealing,
    annealing_path,
    gaussian,
    mixture,
    quartic,
    samples,
    true_log_z,
)
from tf_mdsm.evaluation.likelihood import bounds
from tf_mdsm.evaluation.likelihood.estimate import AnnealingSettings, estimate_log_z

# Number of chains and of intervals, and the largest distance of the bounds, in nats with margins.
COUNTS, INTERVALS = {4: 200, 64: 48, 1024: 16}, {4: 30, 64: 60, 1024: 150}
WIDTHS = {4: 1.5, 64: 10.0, 1024: 60.0}


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("energy", [gaussian, mixture, quartic])
def test_the_true_log_z_lies_between_the_bounds(energy, size):
    """A false alarm in less than three of a thousand."""
    count = COUNTS[size]
    annealing, _ = adapted_annealing(energy, size, INTERVALS[size])
    seeds = np.arange(count)
    up = annealing.run_up(seeds)
    down = annealing.run_down(samples(energy, SHAPES[size], count), seeds)
    log_weights = [annealing.log_weights(chains.differences) for chains in (up, down)]
    log_z = bounds.bound_log_z(*log_weights)
    assert log_z.low < true_log_z(energy, size) < log_z.high
    assert log_z.high - log_z.low < WIDTHS[size]
    # The means themselves are in order too, not only with their margins.
    errors = np.hypot(log_z.lower.error, log_z.upper.error)
    assert log_z.upper.mean - log_z.lower.mean > -4 * errors
    assert 0.5 < up.accepted.mean() < 0.95


def test_adaptation_finds_step_sizes_and_temperatures():
    """Far from the origin x^4 is huge: the first intervals of beta must be tiny."""
    annealing, adaptation = adapted_annealing(quartic, 64, 40, chains=32)
    assert np.abs(adaptation.accepted - 0.8).max() < 0.25
    # Step sizes there suit the reference.
    assert annealing.betas[1] < 0.2 / 40
    assert annealing.step_sizes[0] > annealing.step_sizes[-1] > 0


def test_resampling_by_weights_gives_the_modes_their_share():
    """Chains settle in a mode by its basin, and never leave it; their weights correct that."""
    annealing, _ = adapted_annealing(mixture, 4, 12)
    chains = annealing.run_up(np.arange(400))
    log_weights = annealing.log_weights(chains.differences)
    origins = bounds.resample(log_weights, 400, seed=0)
    share = np.mean(chains.images[origins].sum((1, 2, 3)) < 0)
    error = np.sqrt(SHARE * (1 - SHARE) / bounds.effective_size(log_weights))
    assert share == pytest.approx(SHARE, abs=4 * error)


def test_the_whole_estimate(tmp_path):
    """From adaptation to chains down that begin at resampled and equilibrated states."""
    settings = AnnealingSettings(
        num_chains=60,
        batch_size=30,
        num_temperatures=30,
        adaptation_chains=16,
        adaptation_temperatures=10,
        adaptation_rounds=5,
        acceptance=0.8,
        equilibration_rounds=10,
        seed=5,
    )
    for energy in (gaussian, quartic):
        path = annealing_path(energy, 4)
        estimated = estimate_log_z(path, settings, str(tmp_path / energy.__name__))
        assert estimated.bounds.low < true_log_z(energy, 4) < estimated.bounds.high
        assert abs(estimated.drift) < 4
