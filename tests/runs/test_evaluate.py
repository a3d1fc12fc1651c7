"""`--mode=evaluate` from start to end: metrics with their conditions, and the report."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.evaluation_runs import SECTIONS, metrics, run_evaluation
from tests.helpers.small_runs import call
from tf_mdsm.evaluation.feature_statistics import load_feature_statistics
from tf_mdsm.runs import evaluate as module


@pytest.fixture(scope="module")
def evaluated(small_run, tmp_path_factory):
    """A run with all sections. Tests that evaluate it again copy it."""
    workdir = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(small_run, workdir)
    written = run_evaluation(workdir)
    assert written == [str(workdir / "evaluation" / n) for n in ("metrics.json", "report.html")]
    return workdir


@pytest.fixture
def workdir(evaluated, tmp_path):
    return shutil.copytree(evaluated, tmp_path / "run")


def test_every_metric_states_its_conditions(evaluated):
    entries = metrics(evaluated)
    names = {metric["name"] for metric in entries}
    assert {"frechet_distance", "precision", "recall", "energy", "auroc", "estimated_sigma"} < names
    for metric in entries:
        assert np.isfinite(metric["value"]), metric
        assert {"of", "n", "step", "weights", "version"} <= metric.keys(), metric
        if metric["of"] == "samples":
            assert metric["sampler"] == "heun", metric
            assert metric["seeds"] == "0 … 63", metric
            assert metric["gradient_evaluations_per_image"] == 5, metric
    distances = {m["of"]: m for m in entries if m["name"] == "frechet_distance"}
    assert distances.keys() == {"samples", "validation images"}
    assert distances["samples"]["value"] > distances["validation images"]["value"] > 0
    for metric in distances.values():
        assert metric["features"] == "classifier(digits)"
        assert len(metric["features_hash"]) == 16
        assert metric["against"] == "training images, 1617 images"
        assert "biased" in metric["warning"]


def test_the_report_holds_all_sections_and_nothing_from_elsewhere(evaluated):
    page = (evaluated / "evaluation" / "report.html").read_text()
    assert re.findall(r'<section id="(\w+)"', page) == [*SECTIONS, "settings"]
    assert page.count('src="data:image/png;base64,') >= 10
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_finished_sections_are_not_computed_again(evaluated, workdir):
    """After one section is deleted, only this one is computed again; the numbers are equal."""
    folders = {path.name: path for path in (workdir / "evaluation" / "parts").iterdir()}
    assert {name.split("_")[0] for name in folders} == set(SECTIONS)
    deleted = next(path for name, path in folders.items() if name.startswith("energies"))
    stamps = {name: (path / "part.json").stat().st_mtime_ns for name, path in folders.items()}
    shutil.rmtree(deleted)
    run_evaluation(workdir)
    for name, path in folders.items():
        stamp = (path / "part.json").stat().st_mtime_ns
        assert (stamp == stamps[name]) == (path != deleted), name
    assert metrics(workdir) == metrics(evaluated)


def test_reference_statistics_are_written_for_other_tools_and_read_from_them(workdir, tmp_path):
    (path,) = (workdir / "evaluation").glob("statistics_classifier_train_*.npz")
    statistics = load_feature_statistics(str(path), 64)
    assert statistics.count == 1617
    own = tmp_path / "own.npz"
    np.savez(own, mu=statistics.mean + 1, sigma=statistics.covariance)
    before = {m["of"]: m["value"] for m in metrics(workdir) if m["name"] == "frechet_distance"}
    run_evaluation(workdir, parts="quality", reference_statistics=str(own))
    for metric in metrics(workdir):
        if metric["name"] == "frechet_distance":
            assert metric["value"] != pytest.approx(before[metric["of"]], rel=1e-3)
            assert metric["against"] == "own.npz"


def test_training_images_are_compared_with_validation_images_as_reference(workdir):
    """The same samples are used again."""
    samples = list((workdir / "evaluation").glob("samples_*.npz"))
    run_evaluation(workdir, parts="quality", reference="held_out")
    entries = [m for m in metrics(workdir) if m["name"] == "precision"]
    assert {m["of"] for m in entries} == {"samples", "training images"}
    assert {m["against"] for m in entries} == {"held-out images, 180 images"}
    assert list((workdir / "evaluation").glob("samples_*.npz")) == samples


def test_the_report_shows_headings_and_an_earlier_likelihood(workdir):
    """A likelihood.json whose bounds have not converged: bounds instead of values."""
    report = {
        "step": 10,
        "weights": "averaged",
        "version": "0.1.0",
        "summary": "So far <log Z>",
        "log_z": None,
        "log_z_bracket": [1.5, None],
        "images": {
            "held_out": {"bits_per_dim": None, "bracket": [7.25, None], "num_images": 20},
        },
    }
    (workdir / "evaluation" / "likelihood.json").write_text(json.dumps(report))
    Image.new("RGB", (60, 60)).save(workdir / "evaluation" / "likelihood.png")
    run_evaluation(workdir, parts="memorisation,outliers", features="none")
    page = (workdir / "evaluation" / "report.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == ["Memorization", "Out-of-distribution images", "Likelihood", "Settings"]
    assert "bounds 7.25 … ?" in page
    assert "not converged" in page
    assert "So far &lt;log Z&gt;" in page
    (bits,) = (m for m in metrics(workdir) if m["name"] == "bits_per_dim")
    assert (bits["of"], bits["value"], bits["bracket"]) == ("validation images", None, "7.25 … ?")


def test_a_likelihood_of_other_weights_is_not_shown(workdir):
    report = {"step": 9, "weights": "averaged", "method": "ais"}
    (workdir / "evaluation" / "likelihood.json").write_text(json.dumps(report))
    run_evaluation(workdir)
    assert "bits_per_dim" not in {metric["name"] for metric in metrics(workdir)}


def test_only_the_first_worker_evaluates(small_run, tmp_path, monkeypatch):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    monkeypatch.setattr(module, "read_worker_rank", lambda *_: (1, None))
    assert run_evaluation(workdir, parts="outliers,denoising", features="none") == []
    assert list((workdir / "evaluation").iterdir()) == []


def test_the_command_without_sections_that_look_at_samples(small_run, tmp_path):
    """Nothing is sampled, and no classifier is trained."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    result = call(
        *(f"--workdir={workdir}", "--mode=evaluate", "--config.evaluation.num_images=10"),
        *("--config.evaluation.parts=outliers,denoising", "--config.evaluation.features=none"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [
        f"{workdir}/evaluation/metrics.json",
        f"{workdir}/evaluation/report.html",
    ]
    assert {m["name"] for m in metrics(workdir)} == {
        *("auroc", "aupr", "denoising_psnr", "estimated_sigma")
    }
    assert not list((workdir / "evaluation").glob("samples_*"))
    assert not list((workdir / "evaluation").rglob("*.keras"))
