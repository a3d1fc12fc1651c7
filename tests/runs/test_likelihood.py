"""`--mode=likelihood`: which methods run, and on which images."""

import dataclasses

import numpy as np
import pytest

from tf_mdsm.config.file import get_config
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs import likelihood as module
from tf_mdsm.runs.loaded_run import load_run


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, dict[str, int]]]:
    """The methods that are called in place of the real ones, with the numbers of images."""
    made = []

    def record(name, image_sets):
        made.append((name, {key: len(images) for key, images in image_sets.items()}))
        return [name]

    monkeypatch.setattr(module, "estimate_likelihood", lambda _, images: record("ais", images))
    monkeypatch.setattr(module, "bound_likelihood", lambda name, _, images: record(name, images))
    return made


def run(workdir, **changes) -> list[str]:
    overrides = {f"likelihood.{name}": value for name, value in changes.items()}
    return module.likelihood(with_overrides(get_config(str(workdir)), overrides), str(workdir))


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("ais", ["ais"]),
        ("bound", ["bound"]),
        ("flow", ["flow"]),
        ("all", ["bound", "flow", "ais"]),
    ],
)
def test_the_methods(workdir, calls, method, expected):
    assert run(workdir, method=method) == expected
    assert [name for name, _ in calls] == expected
    assert calls[0][1].keys() == {"held_out", "training"}


def test_own_images_are_read_once_for_all_methods(workdir, calls, tmp_path):
    np.save(tmp_path / "own.npy", np.zeros((3, 8, 8, 1), np.float32))
    run(workdir, method="all", images=str(tmp_path / "own.npy"))
    assert [counts["given"] for _, counts in calls] == [3, 3, 3]
    np.save(tmp_path / "own.npy", np.zeros((3, 9, 8, 1), np.float32))
    with pytest.raises(InvalidArgument, match=r"`config\.likelihood\.images` must"):
        run(workdir, images=str(tmp_path / "own.npy"))


def test_own_images_that_are_left_out_are_told(workdir, calls, tmp_path, caplog):
    path = str(tmp_path / "own.npy")
    np.save(path, np.zeros((5, 8, 8, 1), np.float32))
    run(workdir, images=path, num_images=5)
    assert "left out" not in caplog.text
    run(workdir, images=path, num_images=3)
    assert f"{path}: images after the first 3 are left out (likelihood.num_images): 2" in (
        caplog.text
    )


def test_a_guide_of_some_steps_changes_no_key(workdir, monkeypatch):
    """The energy is that of the model alone; the keys of results and shards are of this run."""
    plain, runs = load_run(get_config(str(workdir)), str(workdir)), []
    guided = dataclasses.replace(plain, guide=plain.model, guide_step=4)
    assert guided.fingerprint({}) != plain.fingerprint({})
    monkeypatch.setattr(module, "load_run", lambda *_: guided)
    monkeypatch.setattr(module, "estimate_likelihood", lambda run, _: runs.append(run) or [])
    monkeypatch.setattr(module, "bound_likelihood", lambda _, run, __: runs.append(run) or [])
    run(workdir, method="all")
    assert [run.fingerprint({}) for run in runs] == 3 * [plain.fingerprint({})]
