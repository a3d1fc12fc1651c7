"""Restoring of images with a trained run, by the command and by its function."""

import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.eager import uncompiled
from tests.helpers.small_runs import call
from tf_mdsm.config.file import get_config
from tf_mdsm.config.rules import validate
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.restoration.tasks import fitting_tasks
from tf_mdsm.runs import restore as module
from tf_mdsm.runs.restore import restore


@pytest.fixture
def workdir(small_run, tmp_path):
    return shutil.copytree(small_run, tmp_path / "run")


@pytest.fixture(autouse=True)
def without_compilation():
    """Each sampler takes few steps."""
    with uncompiled():
        yield


def run(workdir, sampler="heun", start_images="", **changes):
    config = get_config(str(workdir))
    config.sampling.update(num_levels=4, max_steps=9, start_images=start_images)
    config.restoration.update(sampler=sampler, max_steps=9, num_images=3, num_solutions=2)
    config.restoration.update(changes)
    return restore(validate(config), str(workdir))


def arrays(written: list[str]) -> dict:
    """What a call with one task wrote; results of other settings are under other names."""
    with np.load(written[0]) as saved:
        return dict(saved)


def report_of(written: list[str]) -> dict:
    return json.loads(pathlib.Path(written[-1]).read_text())


def test_a_start_that_the_run_does_not_have_is_refused_by_its_own_name(workdir):
    message = r"`config.restoration.start` must be gaussian or isotropic, as this run keeps no mix"
    with pytest.raises(InvalidArgument, match=message):
        run(workdir, task="inpaint_box", start="mixture")


def test_all_tasks_that_fit(workdir):
    written = run(workdir, task="all")
    names = fitting_tasks((8, 8, 1), has_mask=False)
    stem = workdir / "restorations"
    assert written == [f"{stem / name}{e}" for name in names for e in (".npz", ".png", ".json")]
    for name in names:
        saved = arrays([f"{stem / name}.npz"])
        assert saved["restored"].shape == (3, 2, 8, 8, 1), name
        assert saved["original"].shape == saved["measured"].shape == (3, 8, 8, 1), name
        # This energy has hardly been trained: the sampler takes the noisy images for clean ones.
        differ = np.abs(saved["restored"][:, 0] - saved["restored"][:, 1]).max() > 1e-4
        assert differ or name == "denoise", name
        report = json.loads((stem / f"{name}.json").read_text())
        assert len(report["methods"]["solution"]["psnr_of_each"]) == 3, name
        assert {"psnr", "ssim"} <= report["methods"]["mean of solutions"].keys(), name
        with Image.open(stem / f"{name}.png") as picture:
            picture.verify()


def test_images_are_read_once_and_restored_in_batches(workdir, monkeypatch):
    """Whatever the number of tasks, images and solutions."""
    reads, sizes = [], []

    def build_images(config, folder):
        reads.append(config.data.source)
        return original_build_images(config, folder)

    def energy_fn(model, images):
        sizes.append(len(images))
        return original_energy_fn(model, images)

    original_build_images, original_energy_fn = module.build_images_of_run, EnergyModel._energy_fn
    monkeypatch.setattr(module, "build_images_of_run", build_images)
    monkeypatch.setattr(EnergyModel, "_energy_fn", energy_fn)
    # A batch has four images.
    run(workdir, task="all", num_images=7)
    assert reads == ["digits"]
    assert max(sizes) == 4


def test_only_the_images_that_are_restored_are_read(workdir, tmp_path, monkeypatch):
    for number in range(5):
        Image.new("L", (8, 8), 40 * number).save(tmp_path / f"{number}.png")
    read = []

    def read_images(paths, *arguments):
        read.extend(paths)
        return original(paths, *arguments)

    original = module.read_images
    monkeypatch.setattr(module, "read_images", read_images)
    written = run(workdir, task="inpaint_half", images=str(tmp_path))
    assert [os.path.basename(path) for path in read] == ["0.png", "1.png", "2.png"]
    levels = arrays(written)["original"].mean((1, 2, 3)) * 255
    np.testing.assert_allclose(levels, [0, 40, 80], rtol=1e-6)


@pytest.mark.parametrize(
    "sampler", ["annealed_langevin", "heun", "multistep", "ancestral", "coarse_to_fine"]
)
def test_known_pixels_are_unchanged(workdir, sampler):
    saved = arrays(run(workdir, sampler, task="inpaint_half"))
    for solution in range(2):
        np.testing.assert_array_equal(saved["restored"][:, solution, :4], saved["original"][:, :4])
        assert (saved["restored"][:, solution, 4:] != saved["original"][:, 4:]).any()


def test_restored_images_agree_with_the_values(workdir):
    saved = arrays(run(workdir, task="super_resolution_2"))
    means = saved["restored"].reshape(3, 2, 4, 2, 4, 2).mean((3, 5))
    expected = saved["original"].reshape(3, 1, 4, 2, 4, 2).mean((3, 5))
    np.testing.assert_allclose(means, np.broadcast_to(expected, means.shape), atol=1e-5)


def test_own_originals_own_mask_and_the_command(workdir, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8), np.uint8)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :5] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    result = call(
        f"--workdir={workdir}",
        "--mode=restore",
        "--config.restoration.task=inpaint_mask",
        f"--config.restoration.images={tmp_path / 'images'}",
        f"--config.restoration.mask={tmp_path / 'mask.png'}",
        "--config.restoration.num_solutions=1",
        "--config.restoration.sampler=heun",
        "--config.sampling.num_levels=3",
    )
    assert result.returncode == 0, result.stderr
    assert "inpaint_mask: PSNR solution" in result.stderr
    assert result.stdout.split()[0] == f"{workdir}/restorations/inpaint_mask.npz"
    restored = arrays(result.stdout.split())["restored"][:, 0, ..., 0]
    expected = pixels[:, :, :5].astype(np.float32) / 255
    np.testing.assert_array_equal(restored[:, :, :5], expected)


def test_own_measured_images(workdir, tmp_path):
    """An image of 4x4 becomes one of 8x8 with the same means; there is no original to compare."""
    small = np.random.default_rng(0).uniform(size=(1, 4, 4, 1)).astype(np.float32)
    np.savez(tmp_path / "small.npz", images=small)
    path = str(tmp_path / "small.npz")
    written = run(workdir, task="super_resolution_2", images=path, measured=True)
    saved = arrays(written)
    assert "original" not in saved
    means = saved["restored"][0].reshape(2, 4, 2, 4, 2).mean((2, 4))
    np.testing.assert_allclose(means, np.broadcast_to(small[0, ..., 0], (2, 4, 4)), atol=1e-5)
    assert "methods" not in report_of(written)


def test_the_sampler_is_that_of_config_restoration(workdir):
    """It is not that of config.sampling, and its settings are checked by the same rules."""
    report = report_of(run(workdir, "ancestral", task="inpaint_box", start="gaussian"))
    assert (report["sampler"], report["start"]) == ("ancestral", "gaussian")
    assert report["sampling"]["sampler"] == "ancestral"
    config = get_config(str(workdir))
    assert config.sampling.sampler == "annealed_langevin"
    config.restoration.update(start="images")
    with pytest.raises(InvalidArgument, match=r"config.sampling.start_images"):
        restore(config, str(workdir))


def test_the_same_seeds_give_the_same_images(workdir):
    first = arrays(run(workdir, task="inpaint_box"))["restored"]
    two = arrays(run(workdir, task="inpaint_box", num_images=2))["restored"]
    np.testing.assert_allclose(two, first[:2], rtol=1e-4, atol=1e-5)
    other = arrays(run(workdir, task="inpaint_box", seed=100))["restored"]
    assert np.abs(other - first).max() > 1e-3


def test_restored_images_of_other_settings_or_images_stay(small_run, tmp_path):
    """The first ones keep the name of the task; the same ones are written again under theirs."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    for number in range(2):
        image = np.full((1, 8, 8, 1), number / 2, np.float32)
        np.savez(tmp_path / f"{number}.npz", images=image)
    path = tmp_path / "images.npz"
    variants = [(0, {}), (1, {}), (0, {"seed": 5}), (0, {"num_solutions": 1})]
    names = []
    for number, changes in 2 * variants:
        shutil.copy(tmp_path / f"{number}.npz", path)
        written = run(workdir, task="inpaint_box", images=str(path), **changes)
        names.append(os.path.basename(written[0]))
        assert arrays(written)["original"].max() == number / 2
    assert names[0] == "inpaint_box.npz"
    assert names[:4] == names[4:]
    assert len(set(names)) == 4
    assert len(list((workdir / "restorations").iterdir())) == 12


@pytest.mark.parametrize(
    ("task", "one", "other"),
    [
        ("inpaint_box", {"hole": 0.5}, {"hole": 0.25}),
        ("inpaint_mask", {}, {}),
        ("inpaint_random", {"known_share": 0.25}, {"known_share": 0.5}),
        ("deblur", {"cutoff": 0.15}, {"cutoff": 0.3}),
        ("inpaint_half", {"start": "images"}, {"start": "images"}),
    ],
)
def test_results_of_another_operator_or_start_stay(workdir, tmp_path, task, one, other):
    """Although the values of a black image are the same; files keep their names."""
    black, mask, start = (str(tmp_path / f"{name}.npz") for name in ("black", "mask", "start"))
    np.savez(black, images=np.zeros((1, 8, 8, 1), np.float32))
    names = []
    for number, changes in 2 * list(enumerate((one, other))):
        np.savez(mask, mask=np.float32(np.arange(64).reshape(8, 8) % 4 > number))
        np.savez(start, images=np.full((1, 8, 8, 1), number / 2, np.float32))
        changes = {"mask": mask, "start_images": start, "num_solutions": 1, **changes}
        written = run(workdir, task=task, images=black, **changes)
        names.append(os.path.basename(written[0]))
    assert names[0] == f"{task}.npz"
    assert names[:2] == names[2:]
    assert len(set(names)) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "colorize"}, "colorize"),
        ({"task": "inpaint_mask"}, "restoration.mask"),
        ({"task": "inpaint_mask", "mask": "WRONG"}, "restoration.mask"),
        ({"task": "inpaint_box", "images": "WRONG"}, "restoration.images"),
        ({"task": "inpaint_box", "images": "nowhere.png"}, "restoration.images"),
        ({"task": "inpaint_box", "measured": True}, "restoration.images"),
        ({"task": "compressive_sensing", "measured": True, "images": "RIGHT"}, "measured"),
        ({"task": "deblur", "images": "NAN"}, r"hold pixels in \[0, 1\]"),
        ({"task": "deblur", "images": "NAN", "measured": True}, "finite"),
        ({"hole": 1.0}, "restoration.hole"),
        ({"known_share": 0.0}, "restoration.known_share"),
        ({"num_images": 0}, "restoration.num_images"),
        ({"beta": 1.5}, "restoration.beta"),
        ({"start": "nowhere"}, "restoration.start"),
    ],
)
def test_wrong_settings_are_refused_and_nothing_is_written(workdir, tmp_path, changes, message):
    for name, array in {
        "WRONG": np.ones((2, 5, 5, 1), np.float32),
        "RIGHT": np.ones((2, 8, 8, 1), np.float32),
        "NAN": np.full((2, 8, 8, 1), np.nan, np.float32),
    }.items():
        np.savez(tmp_path / f"{name}.npz", images=array, mask=array)
        changes = {k: f"{tmp_path}/{v}.npz" if v == name else v for k, v in changes.items()}
    with pytest.raises(InvalidArgument, match=message):
        run(workdir, **changes)
    assert not (workdir / "restorations").exists()


def test_images_that_are_not_finite_end_the_run(workdir, monkeypatch):
    restored = np.full((3, 2, 8, 8, 1), np.nan, np.float32)
    monkeypatch.setattr(module, "solve", lambda *_, **__: restored)
    with pytest.raises(RunError, match="deblur: the restored images are not finite"):
        run(workdir, task="deblur")
    assert not (workdir / "restorations").exists()
