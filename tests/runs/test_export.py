"""Exports of runs: the answers of the model in memory, the settings that count, and refusals."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.photo_runs import make_photo_run
from tests.helpers.served_inputs import SHAPE, int_seeds, some_images, upper_half_known
from tests.helpers.served_model import Core, Model
from tests.helpers.small_runs import call
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.operators import Downsampling
from tf_mdsm.runs.export import export
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.runs.run import load
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.serving.answers import TOLERANCE


@pytest.fixture(scope="module")
def session(exported_run):
    """The export in a version-1 session, as a server runs it."""
    return Model(str(exported_run / "export"))


@pytest.fixture(scope="module")
def live(exported_run):
    """The run in memory."""
    return load_run(get_config(str(exported_run)), str(exported_run))


@pytest.fixture
def workdir(small_run, tmp_path):
    """A copy of a run without an export."""
    return shutil.copytree(small_run, tmp_path / "run")


@pytest.fixture
def written(monkeypatch):
    """What is given to the writer of a SavedModel, in place of writing it."""
    calls = []

    def record(served, folder, *, image_shape, provenance, tolerance, other_shape=None):
        assert other_shape is None or other_shape != image_shape
        assert tolerance == TOLERANCE
        calls.append((served, folder, image_shape, provenance))

    monkeypatch.setattr("tf_mdsm.runs.export.write_saved_model", record)
    return calls


# --- Answers


def test_a_session_gives_the_answers_of_the_model_in_memory(session, live):
    """Samples bit for bit; energies, scores and denoised images up to rounding."""
    model, noisy = live.model, some_images(5, scale=3.0) - 1.0
    for name, key, expected in [
        ("energy", "energy", model.energy(noisy)),
        ("score", "score", model.score(noisy)),
        ("denoise", "images", model.denoise(noisy)),
        ("noise_level", "noise_level", model.noise_level(noisy)),
    ]:
        scale = np.abs(expected).max()
        answer = session.run(name, {"images": noisy})[key]
        np.testing.assert_allclose(answer, expected, atol=1e-5 * scale, err_msg=name)
    samples = session.run("sample", {"seed": np.arange(4)})
    chain = compile_chain(live.model, live.method)(range(4))
    np.testing.assert_array_equal(samples["images"], np.clip(chain.images, 0, 1))
    np.testing.assert_allclose(samples["energy"], model.energy(samples["images"]), rtol=1e-5)
    default = session.run("serving_default", {"seed": np.arange(4)})
    np.testing.assert_array_equal(default["images"], samples["images"])


def test_averaged_weights_are_exported(session, live):
    images = some_images(3)
    raw = np.asarray(live.model.network(images))
    served = session.run("energy", {"images": images})["energy"]
    assert np.abs(served - raw).max() > 1e-4 * np.abs(raw).max()


def test_an_image_depends_on_its_seed_only(session):
    together = session.run("sample", {"seed": int_seeds(3, 1, 3, 2**62)})["images"]
    np.testing.assert_array_equal(together[0], together[2])
    single = session.run("sample", {"seed": int_seeds(2**62)})["images"]
    np.testing.assert_allclose(together[3], single[0], atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_known_pixels_are_returned_exactly(session):
    inputs = {"images": some_images(2), "mask": upper_half_known(2), "seed": int_seeds(0, 1)}
    images, mask = inputs["images"], inputs["mask"]
    filled = session.run("inpaint", inputs)["images"]
    np.testing.assert_array_equal(filled[:, :4], images[:, :4])
    assert filled.min() >= 0
    assert filled.max() <= 1
    assert np.abs(filled[:, 4:] - images[:, 4:]).max() > 0.01
    # The values of unknown pixels do not matter.
    other = np.where(mask > 0.5, images, 1e3).astype(np.float32)
    again = session.run("inpaint", {**inputs, "images": other})["images"]
    np.testing.assert_array_equal(again, filled)


def test_the_export_holds_a_warm_up_request_for_every_signature(session):
    before = dict(session.runs)
    Core(session, None).warm_up()
    assert {name for name in before if session.runs[name] > before[name]} == {
        "sample",
        "energy",
        "score",
        "denoise",
        "noise_level",
        "inpaint",
    }


# --- Settings


def test_settings_of_sampling_are_chosen_at_export(workdir, written):
    """On the command line, also the largest batch size; they are noted in the export."""
    changes = {"sampling.start": "gaussian", "sampling.hot_steps": 1, "export.max_batch_size": 2}
    result = call(
        f"--workdir={workdir}",
        "--mode=export",
        *(f"--config.{name}={value}" for name, value in changes.items()),
    )
    assert (result.returncode, result.stdout) == (0, f"{workdir}/export/1\n"), result.stderr
    ((served, folder, image_shape, provenance),) = written
    assert (folder, image_shape) == (f"{workdir}/export/1", SHAPE)
    config = get_config(str(workdir))
    config.sampling.update(start="gaussian", hot_steps=1)
    run = load_run(config, str(workdir))
    expected = compile_chain(run.model, run.method)(range(2)).images
    samples = served.sample(np.arange(2))["images"]
    np.testing.assert_array_equal(samples, np.clip(expected, 0, 1))
    # The statistics are weights, too: all that the function reads from outside are variables.
    graph = served.sample.get_concrete_function().graph
    assert {id(v) for v in graph.variables} == {id(v) for v in served.variables}
    assert {capture.dtype for capture in graph.external_captures} == {tf.resource}
    with pytest.raises(tf.errors.InvalidArgumentError, match="1 to 2"):
        served.sample(np.arange(3))
    assert (provenance["step"], provenance["weights"]) == (10, "averaged")
    assert provenance["config"]["sampling"]["start"] == "gaussian"
    assert provenance["config"]["export"]["max_batch_size"] == 2
    assert {"tf_mdsm", "tensorflow"} <= set(provenance)


def test_a_smooth_start_fills_in_from_what_is_known_and_samples_from_gray(workdir, written):
    """Filled in at one high level, the result is near the start."""
    settings = {"sampler": "heun", "num_levels": 2, "sigma_max": 1e-3, "sigma_min": 1e-4}
    config = get_config(str(workdir))
    images = np.full((2, *SHAPE), 0.9, np.float32)
    inputs = images, upper_half_known(2), int_seeds(0, 1)
    filled, samples = {}, {}
    for start in ("isotropic", "smooth"):
        config.sampling.update(**settings, start=start)
        export(config, str(workdir))
        served = written[-1][0]
        filled[start] = served.inpaint(*inputs)["images"].numpy()
        samples[start] = served.sample(np.arange(2))["images"].numpy()
        run = load_run(config, str(workdir))
        expected = run.method.inpaint(run.model, *inputs)
        np.testing.assert_allclose(filled[start], np.clip(expected, 0, 1), atol=1e-5)
    assert np.abs(filled["smooth"] - filled["isotropic"])[:, 4:].max() > 0.1
    np.testing.assert_array_equal(samples["smooth"], samples["isotropic"])


@pytest.mark.parametrize(
    ("existing", "version", "number"),
    [
        ((), 0, 1),
        (("1", "10", "9", "notes", ".partial-folder-x", "torch"), 0, 11),
        (("1", "10"), 5, 5),
    ],
)
def test_the_number_of_a_version(workdir, written, existing, version, number):
    """Version 0 is the number after the largest one."""
    for name in existing:
        (workdir / "export" / name).mkdir(parents=True)
    config = get_config(str(workdir))
    config.export.version = version
    assert export(config, str(workdir)) == [f"{workdir}/export/{number}"]
    ((_, folder, _, _),) = written
    assert folder == f"{workdir}/export/{number}"


@pytest.mark.parametrize(("existing", "number"), [((), 1), (("1", "10", "notes"), 11)])
def test_stablehlo_exports_have_versions_of_their_own(workdir, monkeypatch, existing, number):
    written = []
    monkeypatch.setattr(
        "tf_mdsm.runs.export.write_stablehlo",
        lambda functions, folder, **options: written.append(options),
    )
    for name in existing:
        (workdir / "export" / "stablehlo" / name).mkdir(parents=True)
    (workdir / "export" / "20").mkdir(parents=True)
    config = get_config(str(workdir))
    config.export.update(format="stablehlo", batch_sizes="4,1")
    assert export(config, str(workdir)) == [f"{workdir}/export/stablehlo/{number}"]
    (options,) = written
    assert options["batch_sizes"] == [4, 1]
    assert options["tolerance"] == 1e-5
    assert options["provenance"]["step"] == 10


# --- Refusals


def test_an_existing_version_is_refused(exported_run):
    before = {path: path.stat().st_mtime_ns for path in exported_run.rglob("*")}
    result = call(f"--workdir={exported_run}", "--mode=export", "--config.export.version=1")
    assert result.returncode == 2
    assert "`config.export.version` must be one that does not exist yet" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert before == {path: path.stat().st_mtime_ns for path in exported_run.rglob("*")}


def test_an_existing_version_is_refused_before_the_checkpoint_is_read(workdir, monkeypatch):
    monkeypatch.setattr("tf_mdsm.runs.export.load_run", lambda *_: pytest.fail("read"))
    (workdir / "export" / "1").mkdir(parents=True)
    config = get_config(str(workdir))
    config.export.version = 1
    with pytest.raises(InvalidArgument, match="does not exist yet"):
        export(config, str(workdir))


def test_export_without_checkpoint_is_refused(small_run, tmp_path):
    shutil.copy(small_run / "config.json", tmp_path)
    result = call(f"--workdir={tmp_path}", "--mode=export")
    assert result.returncode == 2
    assert "must hold a checkpoint (train first)" in result.stderr
    assert os.listdir(tmp_path) == ["config.json"]


def test_a_gaussian_start_needs_statistics_of_the_images(workdir):
    (workdir / "checkpoints" / "statistics.npz").unlink()
    result = call(f"--workdir={workdir}", "--mode=export", "--config.sampling.start=gaussian")
    assert result.returncode == 2
    assert "`config.sampling.start` must be isotropic" in result.stderr


def test_a_network_that_the_authors_do_not_have_has_no_weights_for_pytorch(workdir):
    result = call(f"--workdir={workdir}", "--mode=export", "--config.export.format=torch")
    assert result.returncode == 2
    assert "dense" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (workdir / "export").exists()


# --- Images of any size


@pytest.fixture(scope="module")
def photo_run(tmp_path_factory):
    """A run on patches of 8 x 8 pixels, sampled in two levels."""
    folder = tmp_path_factory.mktemp("photo_run")
    return make_photo_run(folder, 1, sampling__sampler="heun", sampling__num_levels=2)


def test_an_export_of_any_size_samples_one(photo_run, written):
    """It is compared at another size as well (tests/slow/test_any_size.py runs one)."""
    run = load(photo_run, overrides={"sampling.image_size": 12})
    export(run.config, str(photo_run))
    ((served, _, image_shape, _),) = written
    assert image_shape == (12, 12, 1)
    shapes = {
        name: tuple(getattr(served, name).input_signature[0].shape)
        for name in ("energy", "score", "denoise", "noise_level", "inpaint")
    }
    assert shapes.pop("inpaint") == (None, 12, 12, 1)
    assert set(shapes.values()) == {(None, None, None, 1)}
    assert run.sample(2).shape == (2, 12, 12, 1)


def test_a_run_restores_images_of_any_size(photo_run):
    run = load(photo_run, overrides={"restoration.max_steps": 1})
    assert run.model.image_shape == (None, None, 1)
    photos = np.random.default_rng(0).uniform(size=(2, 10, 6, 1)).astype(np.float32)
    operator = Downsampling(2)
    values = operator.measure(photos)
    restored = run.restore(values, operator)
    assert restored.shape == photos.shape
    np.testing.assert_allclose(operator.measure(restored), values, atol=1e-5)
