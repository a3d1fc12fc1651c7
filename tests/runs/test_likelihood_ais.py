"""Likelihood by annealed importance sampling: report, settings, what a failed run keeps."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.image_data import random_uint8
from tests.helpers.likelihood_runs import likelihood_report, run_likelihood
from tests.helpers.small_runs import call
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood import estimate
from tf_mdsm.evaluation.likelihood.ais import AnnealedImportanceSampling
from tf_mdsm.evaluation.likelihood.bounds import bound_log_z
from tf_mdsm.evaluation.likelihood.estimate import LogZEstimate
from tf_mdsm.evaluation.likelihood.path import AnnealingPath
from tf_mdsm.runs import likelihood_ais as module
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.system.image_files import read_images


@pytest.fixture(scope="module")
def compiled_once():
    """In place of `AnnealingPath`: the path of the first run also for a run that continues it."""
    paths = []

    def path(*arguments, **options):
        paths.append(paths[0] if paths else AnnealingPath(*arguments, **options))
        return paths[-1]

    return path


@pytest.fixture(scope="module")
def failed_run(small_run, compiled_once, tmp_path_factory):
    """A run whose chains up have finished, and whose chains down have failed."""
    workdir = tmp_path_factory.mktemp("likelihood") / "run"
    shutil.copytree(small_run, workdir)

    def fail(*_):
        raise RunError("at inverse temperature 1 the energy of a chain is not finite")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "AnnealingPath", compiled_once)
        patch.setattr(AnnealedImportanceSampling, "run_down", fail)
        with pytest.raises(RunError, match="not finite"):
            run_likelihood(workdir)
    return workdir


@pytest.fixture
def workdir(small_run, tmp_path):
    return shutil.copytree(small_run, tmp_path / "run")


def test_a_run_that_fails_keeps_its_finished_shards(failed_run):
    assert len(list(failed_run.glob("evaluation/*.shards/pilot/*.npz"))) == 1
    assert len(list(failed_run.glob("evaluation/*.shards/up/*.npz"))) == 2
    for ending in ("json", "png"):
        assert not (failed_run / "evaluation" / f"likelihood.{ending}").exists()


def test_a_run_that_has_failed_continues(failed_run, compiled_once, tmp_path, monkeypatch):
    """Nothing adapts or goes up again; four temperatures do not give a value."""
    workdir = shutil.copytree(failed_run, tmp_path / "run")
    monkeypatch.setattr(module, "AnnealingPath", compiled_once)
    monkeypatch.setattr(estimate, "adapt", None)
    monkeypatch.setattr(AnnealedImportanceSampling, "run_up", None)
    written = run_likelihood(workdir)
    assert written == [str(workdir / "evaluation" / f"likelihood.{e}") for e in ("json", "png")]
    assert not list(workdir.glob("evaluation/*.shards"))
    report = likelihood_report(workdir)
    assert not report["converged"]
    assert report["images"]["held_out"]["bits_per_dim"] is None
    # At most 200 images of each set, of which one has fewer.
    counts = {name: entry["num_images"] for name, entry in report["images"].items()}
    assert counts == {"held_out": 180, "training": 200}
    assert (report["step"], report["weights"], report["dimension"]) == (10, "averaged", 64)
    assert report["settings"]["num_chains"] == 6
    with Image.open(workdir / "evaluation" / "likelihood.png") as picture:
        picture.verify()


def captured(workdir, monkeypatch, **changes):
    """The path and the folder of shards of a run, which ends before its estimate."""
    calls = []

    def capture(path, settings, folder, on_intervals):
        calls.append((path, folder))
        raise RunError("captured")

    monkeypatch.setattr(module, "estimate_log_z", capture)
    with pytest.raises(RunError, match="captured"):
        run_likelihood(workdir, **changes)
    return calls[0]


def test_the_width_of_the_reference(workdir, monkeypatch):
    """That of the settings; by default 1, or sigma0 sqrt(T) on top of the images' Gaussian."""

    def width(**changes):
        path, _ = captured(workdir, monkeypatch, **changes)
        return path.reference.smallest_std

    assert width(reference="isotropic") == pytest.approx(1)
    assert width(reference="isotropic", reference_sigma=0.3) == pytest.approx(0.3)
    # The Gaussian's width is that of its images, and sigma on top.
    images_variance = width(reference_sigma=0.3) ** 2 - 0.3**2
    assert images_variance >= -1e-6
    sigma0 = get_config(str(workdir)).noise.sigma0
    for temperature in (1.0, 4.0):
        expected = images_variance + sigma0**2 * temperature
        assert width(temperature=temperature) ** 2 == pytest.approx(expected, rel=1e-5)


def test_shards_belong_to_the_settings_of_their_chains(workdir, monkeypatch):
    """Settings of the report only leave the folder as it is."""

    def folder(**changes):
        return captured(workdir, monkeypatch, **changes)[1]

    first = folder()
    assert folder(num_images=30, tolerance=0.5, min_effective=3.0) == first
    assert len({first, folder(seed=7), folder(temperature=2.0), folder(num_temperatures=5)}) == 4


@pytest.fixture
def known_estimate(monkeypatch):
    """An estimate of log Z without any chains, 0 exactly; its picture is black."""
    weights, fractions = np.zeros(6), np.ones((6, 4), np.float32)
    estimate = LogZEstimate(
        bounds=bound_log_z(weights, weights, origins=np.arange(6)),
        drift=0.0,
        thermodynamic_length=1.0,
        betas=np.linspace(0, 1, 5, dtype=np.float32),
        step_sizes=np.ones(4, np.float32),
        differences={"up": fractions, "down": fractions},
        log_weights={"up": weights, "down": weights},
        accepted={"up": fractions, "down": fractions},
        states=np.full((6, 8, 8, 1), 0.5, np.float32),
    )
    monkeypatch.setattr(module, "_estimate", lambda *_: estimate)
    monkeypatch.setattr(module, "_plot", lambda *_: np.zeros((4, 4, 3), np.uint8))


@pytest.fixture
def known_run(workdir, known_estimate):
    """A run whose estimate is known; its reference has a known mass in the domain."""
    config = get_config(str(workdir))
    config.likelihood.reference = "isotropic"
    return load_run(config, str(workdir))


def test_own_images_leave_the_cells_of_the_runs_images(known_run, tmp_path):
    """Those are bytes of 256 levels, and a picture is read as floats."""
    pixels = random_uint8(40, 8, 8, 1)
    image_sets = {"held_out": pixels[:10], "training": pixels[10:]}
    Image.fromarray(pixels[0, ..., 0]).save(tmp_path / "own.png")
    own = read_images([str(tmp_path / "own.png")], (8, 8, 1))

    def report(image_sets) -> dict:
        path, _ = module.estimate_likelihood(known_run, image_sets)
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    alone, together = report(image_sets), report({**image_sets, "given": own})
    assert alone["cells"] == {"gray_levels": 256, "bits": np.log2(255)} == together["cells"]
    assert alone["images"]["held_out"] == together["images"]["held_out"]
    # Values between the levels leave them, too.
    between = report({**image_sets, "given": np.float32(own + 0.3 / 255)})
    assert between["cells"] == alone["cells"]


def test_results_of_other_images_stay(known_run, tmp_path, monkeypatch):
    """Of a file that was replaced, of other validation images, of another number of them."""
    monkeypatch.setattr(module, "_report", lambda *_: {"summary": ""})
    known_run.config.likelihood.images = str(tmp_path / "own.npy")
    pixels = random_uint8(40, 8, 8, 1)
    image_sets = {"held_out": pixels[:10], "training": pixels[10:], "given": pixels[:3]}

    def written(**changes) -> str:
        return module.estimate_likelihood(known_run, {**image_sets, **changes})[0]

    first = written()
    others = {written(given=pixels[3:6]), written(held_out=pixels[1:10])}
    assert len({first, *others}) == 3
    assert written() == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reference": "uniform"}, "likelihood.reference"),
        ({"reference_sigma": -1.0}, "likelihood.reference_sigma"),
        ({"temperature": 0.0}, "likelihood.temperature"),
        ({"num_chains": 1}, "likelihood.num_chains"),
        ({"num_temperatures": 0}, "likelihood.num_temperatures"),
        ({"num_temperatures": 1_000_001}, "likelihood.num_temperatures"),
        ({"pilot_temperatures": 2}, "likelihood.pilot_temperatures"),
        ({"acceptance": 1.0}, "likelihood.acceptance"),
        ({"tolerance": 0.0}, "likelihood.tolerance"),
        ({"seed": -1}, "likelihood.seed"),
    ],
)
def test_wrong_settings_are_refused_and_nothing_is_written(small_run, changes, message):
    with pytest.raises(InvalidArgument, match=rf"`config\.{message}` must "):
        run_likelihood(small_run, **changes)
    assert not (small_run / "evaluation").exists()


def test_without_statistics_the_reference_must_be_isotropic(workdir):
    (workdir / "checkpoints" / "statistics.npz").unlink()
    with pytest.raises(InvalidArgument, match="be isotropic, as this run holds no statistics"):
        run_likelihood(workdir)
    assert not (workdir / "evaluation").exists()


def test_only_the_first_worker_estimates(small_run, monkeypatch):
    monkeypatch.setattr(module, "read_worker_rank", lambda *_: (1, None))
    assert run_likelihood(small_run) == []
    assert not (small_run / "evaluation").exists()


def test_a_folder_without_a_checkpoint_ends_with_one_line(workdir):
    shutil.rmtree(workdir / "checkpoints")
    result = call("--mode=likelihood", f"--workdir={workdir}")
    assert result.returncode == 2
    assert "must hold a checkpoint" in result.stderr
    assert len(result.stderr.splitlines()) == 1
