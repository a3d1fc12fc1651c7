"""Training on one, two and four replicas gives the same weights."""

import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.golden import relative_error
from tests.helpers.small_runs import ROOT, environment


def train_on(replicas: int, variant: str, folder) -> dict[str, np.ndarray]:
    """Returns the weights after 20 steps, trained in a new process: a process has one strategy."""
    path = folder / f"{replicas}_{variant}.npz"
    arguments = [
        sys.executable,
        "-m",
        "tests.helpers.replica_run",
        str(replicas),
        variant,
        str(path),
    ]
    subprocess.run(arguments, cwd=ROOT, env=environment(), check=True, timeout=300)
    with np.load(path) as arrays:
        return dict(arrays)


def assert_same(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    errors = {name: relative_error(value, theirs[name]) for name, value in ours.items()}
    worst = max(errors, key=errors.get)
    assert errors[worst] < 1e-5, f"{worst}: {errors[worst]:.1e}"


@pytest.fixture(scope="module")
def one_replica(tmp_path_factory):
    return train_on(1, "loop", tmp_path_factory.mktemp("one"))


@pytest.mark.parametrize("replicas", [2, 4])
def test_several_replicas_give_the_same_weights(tmp_path, one_replica, replicas):
    assert_same(train_on(replicas, "loop", tmp_path), one_replica)


@pytest.mark.parametrize("replicas", [1, 2])
def test_keras_fit_gives_the_same_weights(tmp_path, one_replica, replicas):
    assert_same(train_on(replicas, "fit", tmp_path), one_replica)


@pytest.mark.parametrize("replicas", [2, 4])
def test_a_short_last_batch_gives_the_same_weights(tmp_path, replicas):
    """The batch of 5 images leaves replicas with fewer images than others, or with none."""
    assert_same(train_on(replicas, "uneven", tmp_path), train_on(1, "uneven", tmp_path))


def test_a_network_of_ones_own_gives_the_same_weights(tmp_path):
    """Its last bias has no influence on the score."""
    assert_same(train_on(2, "own", tmp_path), train_on(1, "own", tmp_path))


def test_gradients_have_the_same_scale_on_two_replicas(tmp_path):
    one, two = train_on(1, "sgd", tmp_path), train_on(2, "sgd", tmp_path)
    assert np.linalg.norm(one["update"]) > 1e-3
    # The update is the difference of two weights that are rounded to 24 bits.
    assert relative_error(two["update"], one["update"]) < 1e-4
