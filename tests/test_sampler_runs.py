"""End-to-end tests of the samplers: samples and files of a run, exported models, two devices."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from served_model import Model
from small_runs import ROOT, call, environment

from tf_mdsm.config.file import get_config
from tf_mdsm.config.ranges import CHOICES
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.export import export
from tf_mdsm.runs.run import load_run
from tf_mdsm.runs.sample import sample
from tf_mdsm.samplers.chain import compile_chain

# The samplers that use the denoiser.
FAST = [s for s in CHOICES["sampling.sampler"] if s not in ("annealed_langevin", "mala", "hmc")]


@pytest.fixture(scope="module")
def workdir(exported_run, tmp_path_factory):
    """A writable copy of a run with a few training steps."""
    folder = tmp_path_factory.mktemp("samplers") / "run"
    shutil.copytree(exported_run, folder)
    return folder


def settings(workdir, sampler: str, **changes):
    config = get_config(str(workdir))
    config.sampling.update(sampler=sampler, start="gaussian", num_levels=5, max_steps=9, **changes)
    return config


def model_and_sampler(config, workdir):
    run = load_run(config, str(workdir))
    return run.model, run.sampler


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


@pytest.mark.long
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


@pytest.mark.parametrize("sampler", FAST)
@pytest.mark.parametrize("start", ["isotropic", "gaussian"])
def test_sampling_starts_at_the_samplers_first_noise_level(workdir, sampler, start):
    """The standard deviation of the starting images is sigma_max, and a little more by the data."""
    config = settings(workdir, sampler, sigma_max=30.0, sigma_min=1.0)
    config.sampling.start = start
    _, built = model_and_sampler(config, workdir)
    first = built.start(tf.range(200, dtype=tf.int64)).numpy()
    assert first.std() == pytest.approx(30.0, rel=5 / np.sqrt(2 * 200 * 64) + 1e-3)
    assert built.first_sigma == 30.0


@pytest.mark.long
def test_an_exported_heun_sampler_gives_the_same_images(workdir):
    config = settings(workdir, "heun", sigma_min=0.2, churn=1.0)
    config.export.version = 7
    (folder,) = export(config, str(workdir))
    assert folder == str(workdir / "export" / "7")
    served, (_, live) = Model(str(workdir / "export")), model_and_sampler(config, workdir)
    assert served.version == 7
    sampled = served.run("sample", {"seed": np.arange(4)})
    expected = np.clip(compile_chain(live)(range(4)).images, 0, 1)
    np.testing.assert_allclose(sampled["images"], expected, atol=1e-5)
    images = np.random.default_rng(0).uniform(size=(3, 8, 8, 1)).astype(np.float32)
    mask = np.zeros((3, 8, 8, 1), np.float32)
    mask[:, :4] = 1
    inputs = {"images": images, "mask": mask, "seed": np.arange(3)}
    inpainted = served.run("inpaint", inputs)["images"]
    inpaint = tf.function(live.inpaint, autograph=False)
    tensors = tf.constant(images), tf.constant(mask), tf.range(3, dtype=tf.int64)
    expected = np.clip(inpaint(*tensors), 0, 1)
    np.testing.assert_allclose(inpainted, expected, atol=1e-5)
    np.testing.assert_array_equal(inpainted[:, :4], images[:, :4])


def test_coarse_to_fine_ascent_runs_in_an_exported_model(workdir, tmp_path):
    """Its loop ends early when all images are finished."""
    config = settings(workdir, "coarse_to_fine")
    model, sampler = model_and_sampler(config, workdir)
    module = tf.Module()
    module.weights = [variable.value for variable in model.inference_network.variables]
    module.sample = tf.function(
        lambda seed: {"images": sampler.sample(seed)},
        input_signature=[tf.TensorSpec([None], tf.int64, "seed")],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"sample": module.sample})
    served = Model(str(tmp_path))
    sampled = served.run("sample", {"seed": np.arange(3)})["images"]
    np.testing.assert_allclose(sampled, compile_chain(sampler)(range(3)).images, atol=1e-5)


def test_two_devices_draw_what_one_draws(workdir):
    """The devices share the batches; a batch is the same on both, bit for bit."""
    config = get_config(str(workdir))
    config.sampling.update(num_samples=12, batch_size=2)
    path = f"{workdir}/samples/{config.sampling.sampler}_12.npz"
    sample(config, str(workdir))
    with np.load(path) as arrays:
        one_device = dict(arrays)
    (workdir / "samples" / os.path.basename(path)).unlink()
    script = os.path.join(os.path.dirname(__file__), "two_devices.py")
    command = [sys.executable, script, str(workdir)]
    result = subprocess.run(command, cwd=ROOT, env=environment(PYTHONPATH=str(ROOT)), timeout=300)
    assert result.returncode == 0
    with np.load(path) as arrays:
        for name, value in one_device.items():
            np.testing.assert_array_equal(arrays[name], value, err_msg=name)


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
    _, built = model_and_sampler(config, workdir)
    first = built.start(tf.range(400, dtype=tf.int64)).numpy()
    error = first - given[np.arange(400) % 2]
    assert error.std() == pytest.approx(0.3, rel=5 / np.sqrt(2 * 400 * 64))
    config.sampling.start_images = str(tmp_path / "nothing.npz")
    with pytest.raises(InvalidArgument, match=r"config.sampling.start_images"):
        model_and_sampler(config, workdir)


@pytest.mark.long
@pytest.mark.parametrize("name", ["mala", "hmc"])
def test_mala_and_hmc_sample_a_network(workdir, name):
    """An image does not depend on its batch, and an exported model gives the same images."""
    config = settings(workdir, name)
    assert f"{workdir}/samples/{name}_6.npz" in sample(config, str(workdir))
    draw = compile_chain(model_and_sampler(config, workdir)[1])
    together = draw(range(5)).images
    alone = np.concatenate([draw([seed]).images for seed in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
    config.export.version = 20 + (name == "hmc")
    export(config, str(workdir))
    served = Model(str(workdir / "export")).run("sample", {"seed": np.arange(5)})
    np.testing.assert_allclose(served["images"], np.clip(together, 0, 1), atol=1e-4)
