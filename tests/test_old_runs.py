"""Runs that an earlier version made are opened, sampled, continued and exported.

`golden/old_runs` holds two runs of 20 steps by version 0.1.0 of 25 November 2026 (commit 827769c),
what that version sampled from them, and its weights after 20 more steps. The biases of the keys in
attention are left out: a softmax does not depend on them, so their gradient is rounding alone, and
Adam makes steps of full size from it.
"""

import json
import shutil

import numpy as np
import pytest
import small_runs as runs

from tf_mdsm.config.file import get_config
from tf_mdsm.runs.export import export
from tf_mdsm.runs.sample import sample
from tf_mdsm.runs.train import train

OLD_RUNS = runs.ROOT / "tests" / "golden" / "old_runs"


@pytest.fixture(params=["res6", "unet"])
def old_run(request, tmp_path):
    """A copy of an old run's folder."""
    folder = tmp_path / request.param
    shutil.copytree(OLD_RUNS / request.param, folder)
    return folder


def config_of(folder, **fields):
    config = get_config(str(folder))
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    config.update_from_flattened_dict(changes)
    return config


HEUN = {
    "sampling__sampler": "heun",
    "sampling__start": "gaussian",
    "sampling__num_samples": 8,
}
LANGEVIN = {
    "sampling__sampler": "annealed_langevin",
    "sampling__start": "isotropic",
    "sampling__num_samples": 8,
    "sampling__hot_steps": 5,
    "sampling__cooling_steps": 20,
    "sampling__final_steps": 5,
}


@pytest.mark.parametrize("settings", [HEUN, LANGEVIN], ids=["heun", "annealed_langevin"])
def test_samples_are_the_same(old_run, settings):
    name = f"{settings['sampling__sampler']}_8.npz"
    with np.load(old_run / "samples" / name) as arrays:
        old = dict(arrays)
    sample(config_of(old_run, **settings), str(old_run))
    with np.load(old_run / "samples" / name) as new:
        # Bit-identical on one processor; another one may round a pixel to the next level.
        difference = np.abs(new["images"].astype(int) - old["images"])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
        np.testing.assert_allclose(new["energies"], old["energies"], rtol=1e-4)


def test_training_continues_to_the_same_weights(old_run):
    train(config_of(old_run, training__num_steps=40), str(old_run))
    new = runs.final_weights(old_run)
    with np.load(OLD_RUNS / f"{old_run.name}_weights_at_step_40.npz") as arrays:
        old = {name.replace("|", "/"): arrays[name] for name in arrays}
    assert old.keys() <= new.keys()
    for name, weights in old.items():
        # Twenty steps of Adam at 1e-3 move a weight by up to 2e-2; rounding by far less.
        np.testing.assert_allclose(new[name], weights, atol=1e-5, err_msg=name)


def test_an_old_run_is_exported(old_run):
    (folder,) = export(config_of(old_run, **HEUN), str(old_run))
    settings = json.loads((runs.pathlib.Path(folder) / "assets.extra" / "tf_mdsm.json").read_text())
    assert settings["step"] == 20
