"""The example of a sampler in CONTRIBUTING.md: its module and its tests work."""

import importlib.util
import re
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import MIDDLE, SHAPE, advance, one_image, target
from tests.helpers.readme import listings
from tests.helpers.small_runs import ROOT
from tf_mdsm import randomness

PAGE = (ROOT / "CONTRIBUTING.md").read_text()


def listing(words: str) -> str:
    """The first listing after some words of the page."""
    return listings(PAGE[PAGE.index(words) :])[0]


def load(name: str, code: str, folder, monkeypatch):
    path = folder / f"{name.rpartition('.')[2]}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ddim(tmp_path, monkeypatch):
    monkeypatch.setattr(randomness, "_STREAMS", (*randomness._STREAMS, "ddim"))
    code = listing("`tf_mdsm/samplers/ddim.py`:")
    return load("tf_mdsm.samplers.ddim", code, tmp_path, monkeypatch)


def test_the_samplers_own_tests_pass(ddim, tmp_path, monkeypatch):
    tests = load("test_ddim", listing("Its tests, `test_ddim.py`"), tmp_path, monkeypatch)
    tests.test_without_noise_a_step_is_eulers()
    (mark,) = tests.test_other_shares_are_refused.pytestmark
    for wrong in mark.args[1]:
        tests.test_other_shares_are_refused(wrong)


def test_the_lines_of_the_other_tests_are_right(ddim):
    """The first integer of its stream; and half of the noise, by the page's moments of a step."""
    integer = int(randomness.integers(tf.constant([1], tf.int64), (2, 3), "ddim", 1)[0, 0])
    lines = listing("The lines of the other tests")
    assert f'"ddim": {integer},' in lines
    up, moments = re.search(r"up = (.+)\n\"ddim\": (\(.+\)),\n", lines).groups()
    # Of images around one clean image nothing is kept: D is that image.
    names = {"np": np, "first": 1.0, "last": 0.4, "KEPT": 0.0, "lost": 1.0}
    kept, variance = eval(moments, names | {"up": eval(up, names)})  # noqa: S307
    images = tf.fill([64, *SHAPE], MIDDLE + 1.0)
    moved, _ = advance(target(one_image), ddim.DDIM([1.0, 0.4], eta=0.5), images)
    count = tf.size(images).numpy()
    assert np.mean(moved) - MIDDLE == pytest.approx(kept, abs=5 * np.sqrt(variance / count))
    assert np.var(moved) == pytest.approx(variance, rel=5 * np.sqrt(2 / count))
