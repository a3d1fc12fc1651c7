"""The whole estimate of log Z, and how it continues from its shards."""

import dataclasses

import numpy as np
import pytest

from tests.helpers.annealing import ExactPath
from tf_mdsm.evaluation.likelihood import bounds, estimate
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling
from tf_mdsm.evaluation.likelihood.estimate import AnnealingSettings, estimate_log_z
from tf_mdsm.system.shards import Shards

# Seven temperatures up and down; three batches of 20 intervals up and 3 + 20 down.
SETTINGS = AnnealingSettings(
    num_chains=50,
    batch_size=20,
    num_temperatures=20,
    adaptation_chains=8,
    adaptation_temperatures=8,
    adaptation_rounds=20,
    acceptance=0.8,
    equilibration_rounds=3,
    seed=5,
)
TOTAL = 2 * 7 + 3 * (20 + 23)


@pytest.fixture
def path():
    return ExactPath(std=0.5, offset=1.5)


def test_batches_of_chains():
    assert SETTINGS.total_intervals == TOTAL
    assert [len(SETTINGS.chain_indices(batch)) for batch in range(SETTINGS.num_batches)] == [
        *(20, 20, 10)
    ]
    indices = np.concatenate([SETTINGS.chain_indices(batch) for batch in range(3)])
    np.testing.assert_array_equal(indices, np.arange(50))


def test_the_true_log_z_lies_between_the_bounds(path, tmp_path):
    """The chains, their log weights and their acceptance are those of the bounds."""
    estimated = estimate_log_z(path, SETTINGS, str(tmp_path))
    assert estimated.bounds.low < path.log_z < estimated.bounds.high
    assert abs(estimated.drift) < 4
    for direction, bound in (("up", estimated.bounds.lower), ("down", estimated.bounds.upper)):
        differences = estimated.differences[direction]
        assert differences.shape == estimated.accepted[direction].shape == (50, 20)
        log_weights = differences @ np.diff(estimated.betas)
        np.testing.assert_allclose(estimated.log_weights[direction], log_weights, rtol=1e-5)
        assert bound.mean == pytest.approx(log_weights.mean(), rel=1e-5)
        # Steps that the adaptation has found.
        np.testing.assert_allclose(estimated.accepted[direction], 0.8, atol=0.05)
    # Chains down begin at final states of chains up, some of which are repeated.
    assert estimated.bounds.lower.independent == 50
    origins = bounds.resample(estimated.log_weights["up"], 50, SETTINGS.seed)
    assert estimated.bounds.upper.independent == len(np.unique(origins)) < 50


def test_chains_down_begin_at_resampled_and_equilibrated_states(path, tmp_path, monkeypatch):
    given, equilibrated = [], []

    class Recorded(AnnealedImportanceSampling):
        def equilibrate(self, images, *arguments):
            given.append(images)
            chains = super().equilibrate(images, *arguments)
            equilibrated.append(chains.images)
            return chains

        def run_down(self, images, *arguments):
            np.testing.assert_array_equal(images, equilibrated[-1])
            return super().run_down(images, *arguments)

    monkeypatch.setattr(estimate, "AnnealedImportanceSampling", Recorded)
    estimated = estimate_log_z(path, SETTINGS, str(tmp_path))
    images = Shards(str(tmp_path / "up"), 3).load(["images"])["images"]
    origins = bounds.resample(estimated.log_weights["up"], 50, SETTINGS.seed)
    np.testing.assert_array_equal(np.concatenate(given), images[origins])


def test_finished_shards_are_counted_and_not_computed_again(path, tmp_path, monkeypatch):
    completed = []
    first = estimate_log_z(path, SETTINGS, str(tmp_path), completed.append)
    assert sum(completed) == TOTAL
    completed.clear()
    monkeypatch.setattr(estimate, "adapt", None)
    monkeypatch.setattr(AnnealedImportanceSampling, "run_up", None)
    (tmp_path / "down" / "000001_by_0.npz").unlink()
    path.moves.clear()
    again = estimate_log_z(path, SETTINGS, str(tmp_path), completed.append)
    assert len(path.moves) == 23
    assert sum(completed) == TOTAL
    assert again.bounds == first.bounds
    assert again.drift == first.drift


def test_chains_that_were_not_in_equilibrium_drift(path, tmp_path):
    """Chains up that stay at the reference: E_ref - E rises as soon as the chains equilibrate."""
    advance = path.advance

    def stuck_on_the_way_up(images, seeds, *, betas, step_sizes, counters):
        betas = 0 * np.asarray(betas) if counters[0] < 2**30 else betas
        return advance(images, seeds, betas=betas, step_sizes=step_sizes, counters=counters)

    path.advance = stuck_on_the_way_up
    settings = dataclasses.replace(SETTINGS, num_chains=400, batch_size=400)
    assert estimate_log_z(path, settings, str(tmp_path)).drift > 4
