"""Runs that an earlier version made (`golden/old_runs`), and what it sampled from them."""

import pathlib
import shutil

import numpy as np
from ml_collections import ConfigDict

from tests.helpers.small_runs import ROOT
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.sample import sample

OLD_RUNS = ROOT / "tests" / "golden" / "old_runs"
NAMES = ("res6", "unet")

HEUN = {
    "sampling.sampler": "heun",
    "sampling.start": "gaussian",
    "sampling.num_samples": 8,
}
LANGEVIN = {
    "sampling.sampler": "annealed_langevin",
    "sampling.start": "isotropic",
    "sampling.num_samples": 8,
    "sampling.hot_steps": 5,
    "sampling.cooling_steps": 20,
    "sampling.final_steps": 5,
}


def copy_of(name: str, folder: pathlib.Path) -> pathlib.Path:
    """A copy of an old run, in a folder of its name in `folder`."""
    return shutil.copytree(OLD_RUNS / name, folder / name)


def config_of(folder: pathlib.Path, changes: dict) -> ConfigDict:
    """The configuration of a run with changed settings."""
    config = get_config(str(folder))
    config.update_from_flattened_dict(changes)
    return config


def assert_same_samples(folder: pathlib.Path, settings: dict) -> None:
    """Samples from a run, and compares images and energies with those it already holds."""
    path = folder / "samples" / f"{settings['sampling.sampler']}_8.npz"
    with np.load(path) as arrays:
        old = dict(arrays)
    path.unlink()
    sample(config_of(folder, settings), str(folder))
    with np.load(path) as new:
        # Bit-identical on one processor; another one may round a pixel to the next level.
        difference = np.abs(new["images"].astype(int) - old["images"])
        assert difference.max() <= 1
        assert (difference > 0).mean() < 0.01
        np.testing.assert_allclose(new["energies"], old["energies"], rtol=1e-4)
