"""The trained model that comes along: it loads, is the recipe's, and its energies are sane."""

import os
import runpy
import shutil

import numpy as np
import pytest

import tf_mdsm
from tests.helpers.recipes import recipe
from tests.helpers.small_runs import ROOT
from tf_mdsm.config.file import get_config
from tf_mdsm.datasets.readers import read_digits
from tf_mdsm.errors import InvalidArgument

DIGITS = ROOT / "examples" / "digits"
copy_averaged_only = runpy.run_path(str(ROOT / "examples" / "averaged_only.py"))[
    "copy_averaged_only"
]


@pytest.fixture(scope="module")
def run():
    return tf_mdsm.load(DIGITS)


@pytest.fixture(scope="module")
def samples(run):
    return run.sample(16, seed=0)


def test_it_is_small_and_has_nothing_but_a_run():
    files = {path.relative_to(DIGITS).as_posix() for path in DIGITS.rglob("*") if path.is_file()}
    names = ("checkpoint", "checksums.json", "images.json", "statistics.npz")
    names += ("step-1200.data-00000-of-00001", "step-1200.index")
    assert files == {"config.json", *(f"checkpoints/{name}" for name in names)}
    assert sum(path.stat().st_size for path in DIGITS.rglob("*")) < 2_000_000


def test_its_settings_are_those_of_the_recipe_but_for_the_start():
    """It keeps no mixture, where the recipe starts today; the training is the same."""
    settings = get_config(str(DIGITS)).to_dict()
    assert settings["sampling"].pop("start") == "gaussian"
    expected = recipe("digits").to_dict()
    assert expected["sampling"].pop("start") == "mixture"
    assert settings == expected


def test_its_energies_are_sane(run, samples):
    """Samples lie as low as digits, noise far above."""
    digits = read_digits()[:256]
    noise = np.random.default_rng(0).uniform(size=(64, 8, 8, 1)).astype(np.float32)
    energies = {
        name: run.model.energy(images).numpy()
        for name, images in {"samples": samples, "digits": digits, "noise": noise}.items()
    }
    assert run.step == 1_200
    assert 10 < energies["samples"].mean() < energies["digits"].mean() < 50
    assert energies["noise"].min() > 2 * energies["digits"].max()


def test_it_removes_noise(run):
    digits = read_digits()[:256]
    noisy = digits + 0.3 * np.random.default_rng(0).normal(size=digits.shape).astype(np.float32)
    errors = [np.mean((images - digits) ** 2) for images in (run.model.denoise(noisy), noisy)]
    assert errors[0] < errors[1] / 3


def test_a_copy_of_averages_alone_is_the_run_for_use(small_run, tmp_path):
    copy = tmp_path / "copy"
    step = copy_averaged_only(str(small_run), str(copy))
    run, whole = tf_mdsm.load(copy), tf_mdsm.load(small_run)
    assert run.step == whole.step == step
    assert run.weights_hash == whole.weights_hash
    for raw, average in zip(
        run.model.network.variables, whole.model.ema_network.variables, strict=True
    ):
        np.testing.assert_array_equal(raw, average)
    with pytest.raises(InvalidArgument, match="not exist yet"):
        copy_averaged_only(str(small_run), str(copy))


def test_a_copy_is_used_where_it_cannot_be_written(tmp_path):
    """Loading leaves no file behind."""
    copy = shutil.copytree(DIGITS, tmp_path / "digits")
    before = sorted(os.walk(copy))
    tf_mdsm.load(copy)
    assert sorted(os.walk(copy)) == before
