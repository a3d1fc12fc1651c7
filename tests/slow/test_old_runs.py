"""Runs of an earlier version are sampled, continued and exported.

`golden/old_runs` holds two runs of 20 steps by version 0.1.0 of 25 November 2026 (commit 827769c),
what that version sampled from them, and its weights after 20 more steps. The biases of the keys in
attention are left out: a softmax does not depend on them, so their gradient is rounding alone, and
Adam makes steps of full size from it.
"""

import json
import pathlib

import numpy as np
import pytest

from tests.helpers import old_runs
from tests.helpers.small_runs import final_weights
from tf_mdsm.runs.export import export
from tf_mdsm.runs.train import train


@pytest.fixture(params=old_runs.NAMES)
def old_run(request, tmp_path):
    """A copy of an old run's folder."""
    return old_runs.copy_of(request.param, tmp_path)


@pytest.mark.parametrize("settings", [old_runs.HEUN, old_runs.LANGEVIN], ids=["heun", "langevin"])
def test_samples_are_the_same(old_run, settings):
    old_runs.assert_same_samples(old_run, settings)


def test_training_continues_to_the_same_weights(old_run):
    train(old_runs.config_of(old_run, {"training.num_steps": 40}), str(old_run))
    new = final_weights(old_run)
    with np.load(old_runs.OLD_RUNS / f"{old_run.name}_weights_at_step_40.npz") as arrays:
        old = {name.replace("|", "/"): arrays[name] for name in arrays}
    assert old.keys() <= new.keys()
    for name, weights in old.items():
        # Twenty steps of Adam at 1e-3 move a weight by up to 2e-2; rounding by far less.
        np.testing.assert_allclose(new[name], weights, atol=1e-5, err_msg=name)


def test_an_old_run_is_exported(old_run):
    (folder,) = export(old_runs.config_of(old_run, old_runs.HEUN), str(old_run))
    settings = json.loads((pathlib.Path(folder) / "assets.extra" / "tf_mdsm.json").read_text())
    assert settings["step"] == 20
