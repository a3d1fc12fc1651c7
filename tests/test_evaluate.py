"""`--mode=evaluate` as a user runs it, and the best checkpoint that training keeps."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from small_runs import call, events, small_config

from tf_mdsm import Adam, EnergyModel, build_network
from tf_mdsm.config.file import get_config
from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import load_feature_statistics
from tf_mdsm.runs.evaluate import evaluate
from tf_mdsm.runs.train import train
from tf_mdsm.training.checkpoints import TrainingCheckpoints

SECTIONS = ("quality", "memorisation", "energies", "outliers", "denoising")


def run(workdir, **changes):
    config = get_config(str(workdir))
    config.sampling.update(sampler="heun", start="gaussian", num_levels=3, batch_size=64)
    config.evaluation.update(num_samples=64, num_images=16)
    config.evaluation.update(changes)
    return evaluate(validate(config), str(workdir))


def metrics(workdir) -> list[dict]:
    return json.loads((workdir / "evaluation" / "metrics.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def evaluated(exported_run, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(exported_run, workdir, ignore=shutil.ignore_patterns("export", "evaluation"))
    written = run(workdir)
    assert written == [str(workdir / "evaluation" / n) for n in ("metrics.json", "report.html")]
    return workdir


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
            assert metric["gradients_per_image"] == 5, metric
    distances = {m["of"]: m for m in entries if m["name"] == "frechet_distance"}
    assert distances.keys() == {"samples", "validation images"}
    assert distances["samples"]["value"] > distances["validation images"]["value"] > 0
    for metric in distances.values():
        assert metric["features"] == "classifier(digits)"
        assert len(metric["features_hash"]) == 16
        assert metric["against"] == "training images, 1617 images"
        assert "biased" in metric["warning"]


def test_reference_statistics_are_written_for_other_tools_and_read_from_them(evaluated, tmp_path):
    (path,) = (evaluated / "evaluation").glob("statistics_classifier_train_*.npz")
    statistics = load_feature_statistics(str(path), 64)
    assert statistics.count == 1617
    own = tmp_path / "own.npz"
    np.savez(own, mu=statistics.mean + 1, sigma=statistics.covariance)
    workdir = tmp_path / "run"
    shutil.copytree(evaluated, workdir)
    before = {m["of"]: m["value"] for m in metrics(workdir) if m["name"] == "frechet_distance"}
    run(workdir, parts="quality", reference_statistics=str(own))
    for metric in metrics(workdir):
        if metric["name"] == "frechet_distance":
            assert metric["value"] != pytest.approx(before[metric["of"]], rel=1e-3)
            assert metric["against"] == "own.npz"


def test_training_images_are_compared_with_validation_images_as_reference(evaluated, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(evaluated, workdir)
    samples = list((workdir / "evaluation").glob("samples_*.npz"))
    run(workdir, parts="quality", reference="held_out")
    entries = [m for m in metrics(workdir) if m["name"] == "precision"]
    assert {m["of"] for m in entries} == {"samples", "training images"}
    assert {m["against"] for m in entries} == {"held-out images, 180 images"}
    assert list((workdir / "evaluation").glob("samples_*.npz")) == samples


def test_a_likelihood_of_other_weights_is_not_shown(evaluated, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(evaluated, workdir)
    report = {"step": 9, "weights": "averaged"}
    (workdir / "evaluation" / "likelihood.json").write_text(json.dumps(report))
    run(workdir)
    assert "bits_per_dim" not in {metric["name"] for metric in metrics(workdir)}


def test_finished_sections_are_not_computed_again(evaluated, tmp_path):
    """After one section is deleted, only this one is computed again; the numbers are equal."""
    workdir = tmp_path / "run"
    shutil.copytree(evaluated, workdir)
    before = metrics(workdir)
    folders = {path.name: path for path in (workdir / "evaluation" / "parts").iterdir()}
    assert {name.split("_")[0] for name in folders} == set(SECTIONS)
    deleted = next(path for name, path in folders.items() if name.startswith("energies"))
    stamps = {name: (path / "part.json").stat().st_mtime_ns for name, path in folders.items()}
    shutil.rmtree(deleted)
    run(workdir)
    for name, path in folders.items():
        stamp = (path / "part.json").stat().st_mtime_ns
        assert (stamp == stamps[name]) == (path != deleted), name
    assert metrics(workdir) == before


def test_the_report_shows_headings_and_an_earlier_likelihood(evaluated, tmp_path):
    """A likelihood.json whose bounds have not converged: bounds instead of values."""
    workdir = tmp_path / "run"
    shutil.copytree(evaluated, workdir)
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
    run(workdir, parts="memorisation,outliers", features="none")
    page = (workdir / "evaluation" / "report.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    assert headings == ["Memorization", "Out-of-distribution images", "Likelihood", "Settings"]
    assert "bounds 7.25 … ?" in page
    assert "not converged" in page
    assert "So far &lt;log Z&gt;" in page
    (bits,) = (m for m in metrics(workdir) if m["name"] == "bits_per_dim")
    assert (bits["of"], bits["value"], bits["bracket"]) == ("validation images", None, "7.25 … ?")


def test_sections_without_samples_generate_none(exported_run, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir, ignore=shutil.ignore_patterns("export", "evaluation"))
    run(workdir, parts="outliers,denoising", features="none")
    assert {m["name"] for m in metrics(workdir)} == {
        *("auroc", "aupr", "denoising_psnr", "estimated_sigma")
    }
    assert not list((workdir / "evaluation").glob("samples_*"))


def test_another_data_set_as_out_of_distribution_images(evaluated, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(evaluated, workdir)
    images = np.random.default_rng(0).uniform(size=(40, 4, 4, 1)).astype(np.float32)
    np.savez(tmp_path / "other.npz", images=images)
    foreign = {"source": "npz", "name": "other", "path": str(tmp_path / "other.npz")}
    foreign["image_size"] = 4
    run(workdir, parts="outliers", foreign=foreign)
    assert {m["of"] for m in metrics(workdir)} == {
        *("uniform noise", "constant", "upside-down", "shuffled patches", "other")
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": "beauty"}, "evaluation.parts"),
        ({"num_samples": 63}, "evaluation.num_samples"),
        ({"features": "none"}, "evaluation.features"),
        ({"features": "inception", "inception_path": "nowhere.pb"}, "evaluation.inception_path"),
        ({"reference_statistics": "nowhere.npz"}, "evaluation.reference_statistics"),
        ({"foreign": {"source": "npz", "path": "nowhere.npz"}}, "evaluation.foreign.path"),
        ({"foreign": {"source": "folder"}}, "evaluation.foreign.path"),
        (
            {
                "foreign": {"source": "npz", "path": "nowhere.npz"},
                "features": "none",
                "parts": "energies",
            },
            "evaluation.foreign.path",
        ),
    ],
)
def test_wrong_settings_are_refused_and_nothing_changes(evaluated, changes, message):
    before = sorted(evaluated.rglob("*"))
    with pytest.raises(InvalidArgument, match=message):
        run(evaluated, **changes)
    assert sorted(evaluated.rglob("*")) == before


def test_images_without_labels_cannot_train_a_classifier(tmp_path):
    images = np.random.default_rng(0).uniform(size=(90, 8, 8, 1)).astype(np.float32)
    np.savez(tmp_path / "images.npz", images=images)
    config = small_config(data__source="npz", data__path=str(tmp_path / "images.npz"))
    config.training.num_steps = 1
    train(config, str(tmp_path / "run"))
    with pytest.raises(InvalidArgument, match=r"evaluation.features.*labels"):
        run(tmp_path / "run")
    assert not list((tmp_path / "run" / "evaluation").iterdir())
    run(tmp_path / "run", parts="memorisation,energies", features="none")


def test_the_command(evaluated, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(evaluated, workdir)
    result = call(
        *(f"--workdir={workdir}", "--mode=evaluate", "--config.evaluation.parts=denoising"),
        *("--config.evaluation.num_images=10", "--config.evaluation.features=none"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [
        f"{workdir}/evaluation/metrics.json",
        f"{workdir}/evaluation/report.html",
    ]


def test_the_report_in_a_browser(evaluated):
    """No message on the console, every picture is shown, and nothing is loaded from a network."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if not (chromium and driver):
        pytest.skip("no Chromium here")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        browser.get((evaluated / "evaluation" / "report.html").as_uri())
        assert browser.get_log("browser") == []
        widths = browser.execute_script(
            "return [...document.images].map(image => image.complete ? image.naturalWidth : 0)"
        )
        assert len(widths) >= 10
        assert min(widths) > 50
        sections = browser.execute_script(
            "return [...document.querySelectorAll('section')].map(section => section.id)"
        )
        assert sections == [*SECTIONS, "settings"]
    finally:
        browser.quit()
    page = (evaluated / "evaluation" / "report.html").read_text()
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_training_keeps_its_best_checkpoint(tmp_path):
    """The best one by the samples' distance; all modes after training can use it."""
    config = small_config(
        training__num_steps=12,
        training__checkpoint_every=6,
        training__log_every=0,
        training__evaluate_every=3,
        training__evaluation_samples=64,
        sampling__sampler="heun",
        sampling__start="gaussian",
        sampling__num_levels=3,
        optimizer__ema_momentum=0.0,
        optimizer__learning_rate=3e-2,
    )
    train(config, str(tmp_path))
    distances = dict(events(tmp_path, "distance/classifier(digits)"))
    assert sorted(distances) == [3, 6, 9, 12]
    best = json.loads((tmp_path / "checkpoints" / "best" / "distance.json").read_text())
    assert best["step"] == min(distances, key=distances.get)
    assert best["distance"] == pytest.approx(min(distances.values()), rel=1e-6)
    assert len(list((tmp_path / "checkpoints" / "best").glob("step-*.index"))) == 1
    assert "n 64, training images, 1617 images" in best["measure"]
    config.checkpoint = "best"
    config.evaluation.update(parts="denoising", features="none", num_images=10)
    evaluate(config, str(tmp_path))
    assert {metric["step"] for metric in metrics(tmp_path)} == {best["step"]}


def test_distances_of_another_measure_are_not_compared(tmp_path):
    """A run that continues with other features or samples keeps a new best checkpoint."""
    model = EnergyModel(build_network("dense", (1, 1, 2), channels=4))
    model.compile(Adam(1e-3))
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=1)
    score = tmp_path / "best" / "distance.json"
    kept = []
    for distance, measure in ((3.0, "one"), (4.0, "one"), (40.0, "other"), (2.0, "other")):
        checkpoints.keep_if_best(distance, measure)
        kept.append(json.loads(score.read_text())["distance"])
    assert kept == [3.0, 3.0, 40.0, 2.0]


def test_without_a_best_checkpoint_the_message_names_the_setting(evaluated):
    config = get_config(str(evaluated))
    config.checkpoint = "best"
    with pytest.raises(InvalidArgument, match=r"config.checkpoint.*evaluate_every"):
        evaluate(config, str(evaluated))
