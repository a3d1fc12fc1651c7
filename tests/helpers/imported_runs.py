"""Runs that are imported from the authors' weights."""

import os
from collections.abc import Iterable, Mapping

import keras
import numpy as np

from tests.helpers import golden
from tests.helpers.small_runs import ROOT, Answer, call
from tf_mdsm.config.file import get_config
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.runs.build_model import build_model
from tf_mdsm.training.checkpoints import restore_weights

# Settings that make the imported runs short.
SHORT = {
    "data.source": "synthetic",
    "data.name": "blobs",
    "optimizer.ema_momentum": 0.9,
    "training.batch_size": 8,
    "training.num_steps": 2,
    "training.sample_every": 0,
    "sampling.num_samples": 2,
    "sampling.hot_steps": 1,
    "sampling.cooling_steps": 2,
    "sampling.final_steps": 1,
}


def import_file(path: str | os.PathLike, workdir: str | os.PathLike) -> Answer:
    """Imports a file of weights by the command line."""
    settings = [f"--config.{name}={value}" for name, value in SHORT.items()]
    return call(
        "--mode=import",
        f"--config={ROOT}/configs/cifar.py",
        f"--workdir={workdir}",
        f"--torch_checkpoint={path}",
        *settings,
    )


def restored(workdir: str | os.PathLike) -> tuple[EnergyModel, int]:
    """The model of a run with the weights of its newest checkpoint, and the checkpoint's step."""
    model = build_model(get_config(str(workdir)))
    return model, restore_weights(os.path.join(workdir, "checkpoints"), model)


def authors_images(numbers: golden.Golden) -> np.ndarray:
    """The noisy images whose energies the authors' code computed."""
    sigma = numbers.arrays["sigma"][:, None, None, None]
    return numbers.images("image") + sigma * numbers.images("noise")


def assert_authors_energies(workdir: str | os.PathLike, name: str) -> None:
    """Compares a run at step 0 with the golden numbers of a network."""
    numbers = golden.load(name)
    noisy = authors_images(numbers)
    model, step = restored(workdir)
    assert step == 0
    energy, score = model.energy_and_score(noisy)
    assert golden.relative_error(model.energy(noisy), numbers.arrays["energy"]) < 1e-5
    assert golden.relative_error(energy, numbers.arrays["energy"]) < 1e-5
    assert golden.relative_error(-score, numbers.images("energy_gradient")) < 1e-5
    assert golden.relative_error(model.denoise(noisy), numbers.images("denoised")) < 1e-5


def assert_two_small_steps(
    weights: Mapping[str, np.ndarray], variables: Iterable[keras.Variable]
) -> None:
    """Checks that two steps of training at a rate of 5e-5 lie between weights and variables.

    A step of Adam changes a weight by at most that rate; new initial weights would differ by up to
    0.6.
    """
    moved = [np.abs(v.numpy() - weights[v.path]).max() for v in variables]
    assert min(moved) > 0
    assert max(moved) < 1.1e-4
