"""`--mode=likelihood`: which methods run, and on which images."""

import numpy as np
import pytest

from tf_mdsm.config.file import get_config
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs import likelihood as module


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
