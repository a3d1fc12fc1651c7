"""`--mode=sample`: the files that it writes, and their dependence on seeds."""

import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.helpers.eager import uncompiled
from tests.helpers.sampler_runs import FAST, model_and_method, settings
from tests.helpers.small_runs import call, small_config
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs import sample as module
from tf_mdsm.runs.results import read_provenance
from tf_mdsm.runs.sample import sample
from tf_mdsm.runs.sharded_sampling import sample_in_shards
from tf_mdsm.runs.train import train
from tf_mdsm.system.npz import read_npz_arrays


@pytest.mark.parametrize("sampler", FAST)
def test_sampling_writes_arrays_and_images_named_after_the_sampler(workdir, sampler):
    written = sample(settings(workdir, sampler), str(workdir))
    stem = workdir / "samples" / f"{sampler}_6"
    endings = (".npz", ".png", "_energy.png", "_chain.png", "_chain.gif")
    assert written == [f"{stem}{ending}" for ending in endings]
    with np.load(f"{stem}.npz") as arrays:
        assert arrays["images"].shape == (6, 8, 8, 1)
        assert np.isfinite(arrays["energies"]).all()
        assert len(np.unique(arrays["images"].reshape(6, -1), axis=0)) == 6
    for path in written[1:]:
        with Image.open(path) as picture:
            picture.verify()


def test_the_command_logs_the_gradient_evaluations_per_image(workdir):
    result = call(
        f"--workdir={workdir}",
        "--mode=sample",
        "--config.sampling.sampler=heun",
        "--config.sampling.num_levels=5",
        "--config.sampling.num_samples=2",
    )
    assert result.returncode == 0, result.stderr
    assert "sampling 2 images" in result.stderr
    assert "up to 9 gradient evaluations an image" in result.stderr
    assert f"{workdir}/samples/heun_2.npz" in result.stdout.split()


@pytest.mark.parametrize("kind", ["png", "arr_0"])
def test_extra_files_for_other_tools(workdir, kind):
    written = sample(settings(workdir, "heun", extra_files=kind), str(workdir))
    stem = f"{workdir}/samples/heun_6"
    with np.load(f"{stem}.npz") as arrays:
        images = arrays["images"]
    if kind == "arr_0":
        assert f"{stem}_arr_0.npz" in written
        with np.load(f"{stem}_arr_0.npz") as arrays:
            np.testing.assert_array_equal(arrays["arr_0"], images)
        return
    assert f"{stem}/" in written
    names = sorted(os.listdir(stem))
    assert names == [f"{number:06d}.png" for number in range(6)]
    for name, image in zip(names, images, strict=True):
        with Image.open(f"{stem}/{name}") as picture:
            np.testing.assert_array_equal(np.asarray(picture), image[..., 0])


def test_sampling_starts_at_given_images(workdir, tmp_path):
    given = np.random.default_rng(0).uniform(size=(2, 8, 8, 1)).astype(np.float32)
    np.savez(tmp_path / "given.npz", images=given)
    config = settings(workdir, "heun", sigma_max=0.3, sigma_min=0.1)
    config.sampling.update(start="images", start_images=str(tmp_path / "given.npz"))
    model, built = model_and_method(config, workdir)
    first = built.start_images(model, tf.range(400, dtype=tf.int64)).numpy()
    error = first - given[np.arange(400) % 2]
    assert error.std() == pytest.approx(0.3, rel=5 / np.sqrt(2 * 400 * 64))
    config.sampling.start_images = str(tmp_path / "nothing.npz")
    with pytest.raises(InvalidArgument, match=r"config.sampling.start_images"):
        model_and_method(config, workdir)


def call_sample(workdir, *overrides: str):
    return call(f"--workdir={workdir}", "--mode=sample", *overrides)


def test_sampling_writes_the_files_that_it_prints(small_run, tmp_path):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    result = call_sample(workdir)
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (workdir / "samples").iterdir()}
    stem = "annealed_langevin_6"
    pictures = {f"{stem}.png", f"{stem}_energy.png", f"{stem}_chain.png", f"{stem}_chain.gif"}
    assert names == pictures | {f"{stem}.npz"}
    assert result.stdout.split() == [
        f"{workdir}/samples/{stem}{ending}"
        for ending in (".npz", ".png", "_energy.png", "_chain.png", "_chain.gif")
    ]
    with np.load(workdir / "samples" / f"{stem}.npz") as arrays:
        assert arrays["images"].shape == (6, 8, 8, 1)
        assert arrays["images"].dtype == np.uint8
        assert arrays["energies"].shape == (6,)
        assert np.isfinite(arrays["energies"]).all()
    for name in pictures:
        with Image.open(workdir / "samples" / name) as picture:
            picture.verify()
    with Image.open(workdir / "samples" / f"{stem}_chain.gif") as animation:
        # Start, states after every third step, denoised images; equal frames are merged.
        assert 2 <= animation.n_frames <= 5


def test_images_depend_on_their_seeds_only(workdir):
    def images(**changes):
        config = get_config(str(workdir))
        config.sampling.update(changes)
        with uncompiled():
            path, *_ = sample(config, str(workdir))
        with np.load(path) as arrays:
            return arrays["images"].astype(int)

    six = images()
    np.testing.assert_array_equal(six, images())
    three = images(num_samples=3, seed=2)
    # In a batch of another size convolutions may sum in another order, and a pixel may differ by
    # 1 / 255.
    assert np.abs(three - six[2:5]).max() <= 1
    assert not np.array_equal(three, images(num_samples=3))


def test_sampling_before_training_is_refused(tmp_path):
    result = call_sample(tmp_path)
    assert result.returncode == 2
    assert "must hold a run's config.json" in result.stderr


def test_sampling_with_another_network_is_refused(workdir):
    before = {path: path.stat().st_mtime for path in workdir.rglob("*")}
    result = call_sample(workdir, "--config.network.channels=4")
    assert result.returncode == 2
    assert "hold a checkpoint of this network" in result.stderr
    assert before == {path: path.stat().st_mtime for path in workdir.rglob("*")}


@pytest.fixture
def own(small_run, tmp_path):
    """A copy of the run in which nothing has been sampled."""
    return shutil.copytree(small_run, tmp_path / "own")


def sample_three(workdir, **changes) -> list[str]:
    config = get_config(str(workdir))
    config.sampling.update(sampler="heun", num_levels=2, num_samples=3, **changes)
    with uncompiled():
        return sample(config, str(workdir))


def test_samples_of_other_seeds_or_settings_stay(own):
    """The first ones have the plain name; each file says what it is of."""
    settings = [{}, {"seed": 100}, {"rho": 5.0}, {"batch_size": 2}]
    paths = [sample_three(own, **changes)[0] for changes in settings]
    assert paths[0] == f"{own}/samples/heun_3.npz"
    assert len(set(paths)) == 4
    before = [pathlib.Path(path).read_bytes() for path in paths]
    assert [sample_three(own, **changes)[0] for changes in settings] == paths
    arrays = [read_npz_arrays(path, ["images", "energies"]) for path in paths]
    assert not np.array_equal(arrays[0]["energies"], arrays[1]["energies"])
    for path, changes, content in zip(paths, settings, before, strict=True):
        provenance = read_provenance(path)
        assert (provenance["step"], provenance["sampler"]) == (10, "heun")
        assert provenance["seed"] == changes.get("seed", 0)
        assert provenance["settings"]["sampling"].items() >= changes.items()
        assert pathlib.Path(path).read_bytes() == content


def test_samples_of_other_weights_stay(own):
    """Of a run that was trained again in the same folder, to the same step."""
    path = sample_three(own)[0]
    shutil.rmtree(own / "checkpoints")
    os.remove(own / "config.json")
    train(small_config(training__num_steps=10, seed=1), str(own))
    again = sample_three(own)[0]
    assert again.startswith(f"{own}/samples/heun_3_")
    first, second = (read_provenance(p) for p in (path, again))
    assert first["step"] == second["step"]
    assert first["weights_hash"] != second["weights_hash"]


def test_a_folder_of_pictures_is_of_the_samples_of_its_name(own):
    """Also if other samples were drawn without pictures, or by an earlier version."""

    def assert_alike(path):
        folder = path.removesuffix(".npz")
        with np.load(path) as arrays:
            images = arrays["images"]
        if os.path.isdir(folder):
            pictures = [np.asarray(Image.open(f"{folder}/{name:06d}.png")) for name in range(3)]
            np.testing.assert_array_equal(np.stack(pictures), images[..., 0])
        return os.path.isdir(folder)

    first = sample_three(own, extra_files="png")[0]
    other = sample_three(own, seed=100)[0]
    assert [assert_alike(path) for path in (first, other)] == [True, False]
    assert assert_alike(sample_three(own)[0])  # The same samples: their pictures stay.
    os.remove(first)  # The folder alone says nothing of itself.
    assert sample_three(own, seed=7)[0] != first


def test_the_same_sampling_is_refused_while_it_runs(own, monkeypatch):
    """In a sentence that names the other process; other sampling is not refused."""
    answers = []

    def sample_in_the_middle(*arguments, **options):
        monkeypatch.setattr(module, "sample_in_shards", sample_in_shards)
        with pytest.raises(InvalidArgument, match=rf"with the same settings.*{os.getpid()} on"):
            sample_three(own)
        answers.extend(sample_three(own, seed=5))
        return sample_in_shards(*arguments, **options)

    monkeypatch.setattr(module, "sample_in_shards", sample_in_the_middle)
    written = sample_three(own)
    assert answers[0] == f"{own}/samples/heun_3.npz"  # It was ready first.
    assert written[0].startswith(f"{own}/samples/heun_3_")
    assert read_provenance(written[0])["seed"] == 0
    assert not [p for p in (own / "samples").iterdir() if "lock" in p.name or "shards" in p.name]
