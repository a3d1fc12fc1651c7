"""A Jupyter notebook: the package and the program in its cells, with Jupyter's own kernel."""

import pathlib

import pytest

from tests.helpers.notebooks import execute, texts, variables
from tests.helpers.small_runs import flags

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

PREPARE = """
import numpy as np
from sklearn.datasets import load_digits
import tf_mdsm
images = (load_digits().images[:64] / 16)[..., None].astype("float32")
"""
BUILD = """
network = tf_mdsm.build_network("dense", (8, 8, 1), channels=8)
model = tf_mdsm.EnergyModel(network, tf_mdsm.NoiseLevels(0.1, 3.0, 16, "geometric"))
model.compile(tf_mdsm.training.Adam(1e-3))
"""
FIT = """
import tensorflow as tf
data = tf.data.Dataset.from_tensor_slices(images).repeat().batch(16)
history = model.fit(data, steps_per_epoch=4)
"""
ENERGY = "print(model.energy(images).shape, np.isfinite(model.energy(images)).all())"

TRAIN = """
from tf_mdsm.main import main
status = main({arguments})
print("status", status)
"""
TRAIN_IN_THREAD = """
import threading
statuses = []
thread = threading.Thread(target=lambda: statuses.append(main({arguments})))
thread.start()
thread.join()
print("status", *statuses)
"""
INTERRUPTED = """
import os, signal, threading
threading.Timer(5, os.kill, (os.getpid(), signal.SIGINT)).start()
print("status", main({arguments}))
"""
SIGNALS = """
import signal
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)
"""


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A function that runs cells in a kernel of this interpreter, and returns their texts."""
    for name, value in variables(tmp_path).items():
        monkeypatch.setenv(name, value)

    def run(*cells: str) -> list[str]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        execute(notebook, tmp_path)
        return texts(notebook)

    return run


def train_flags(workdir: pathlib.Path, **fields) -> list[str]:
    """The program's name and its arguments, as a user writes them in a cell."""
    return ["tf-mdsm", *flags(**fields), f"--workdir={workdir}"]


def test_a_model_is_trained_in_cells(kernel):
    *_, fitted, energies = kernel(PREPARE, BUILD, FIT, ENERGY)
    assert "4/4" in fitted
    assert "loss:" in fitted
    assert energies.strip() == "(64,) True"


def test_the_program_trains_in_a_cell(kernel, tmp_path):
    """It shows its progress and its messages in the cell, and leaves the signals as they were."""
    arguments = train_flags(tmp_path / "run", training__num_steps=40)
    sampled = ["tf-mdsm", f"--workdir={tmp_path}/run", "--mode=sample"]
    wrong = [*arguments, "--config.noise.sigma_mn=1"]
    threaded = train_flags(tmp_path / "thread", training__num_steps=10)
    _, trained, drawn, refused, in_thread, signals = kernel(
        PREPARE,
        TRAIN.format(arguments=arguments),
        TRAIN.format(arguments=sampled),
        TRAIN.format(arguments=wrong),
        TRAIN_IN_THREAD.format(arguments=threaded),
        SIGNALS,
    )
    assert "status 0\n" in trained, trained
    assert "40/40" in trained
    assert "status 0\n" in drawn, drawn
    assert f"{tmp_path}/run/samples/" in drawn
    assert "must be a known setting" in refused
    assert "status 2\n" in refused
    assert "status 0\n" in in_thread, in_thread
    assert (tmp_path / "thread" / "checkpoints").exists()
    assert signals == "True\n"


def test_an_interrupted_cell_saves_and_the_kernel_lives(kernel, tmp_path):
    arguments = train_flags(tmp_path / "run", training__num_steps=1_000_000)
    short = train_flags(tmp_path / "first", training__num_steps=5)
    *_, interrupted, after = kernel(
        PREPARE,
        TRAIN.format(arguments=short),
        INTERRUPTED.format(arguments=arguments),
        "print(images.shape)",
    )
    assert "SIGINT: saving, then stopping" in interrupted
    assert "status 130\n" in interrupted, interrupted
    assert after.strip() == "(64, 8, 8, 1)"
    assert list((tmp_path / "run" / "checkpoints").glob("*.index"))
