"""Likelihood by the chain and by the flow, from start to end."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from tests.helpers.small_runs import small_config
from tf_mdsm.config.file import get_config
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.chain_bound import ChainBound
from tf_mdsm.runs import likelihood_bounds as module
from tf_mdsm.runs.build_data import build_images
from tf_mdsm.runs.build_likelihood import fit_to_images
from tf_mdsm.runs.likelihood import likelihood
from tf_mdsm.system.seeds import MAX_SEED

SETTINGS = {"likelihood.num_images": 20, "likelihood.batch_size": 16, "likelihood.num_levels": 4}


def run_bound(workdir, method: str, **changes) -> list[str]:
    fields = {f"likelihood.{name}": value for name, value in changes.items()}
    overrides = {**SETTINGS, "likelihood.method": method, **fields}
    return likelihood(with_overrides(get_config(str(workdir)), overrides), str(workdir))


def read(workdir, method: str) -> tuple[dict, dict[str, np.ndarray]]:
    folder = workdir / "evaluation"
    report = json.loads((folder / f"likelihood_{method}.json").read_text())
    with np.load(folder / f"likelihood_{method}.npz") as arrays:
        return report, {name: arrays[name] for name in arrays if name != "provenance"}


@pytest.fixture(scope="module")
def bounded(small_run, tmp_path_factory):
    """A run with results of both methods."""
    workdir = shutil.copytree(small_run, tmp_path_factory.mktemp("bounds") / "run")
    for method in ("bound", "flow"):
        written = run_bound(workdir, method, num_probes=2, flow_tolerance=0.1)
        stem = str(workdir / "evaluation" / f"likelihood_{method}")
        assert written == [f"{stem}.json", f"{stem}.npz", f"{stem}.png"]
    assert not list(workdir.glob("evaluation/*.shards"))
    return workdir


@pytest.mark.parametrize(
    ("method", "parts"),
    [("bound", ("start", "levels", "decoding")), ("flow", ("noisy", "decoding"))],
)
def test_the_report_is_of_the_values_of_each_image(bounded, method, parts):
    report, arrays = read(bounded, method)
    assert set(report["images"]) == {"held_out", "training"}
    assert (report["method"], report["dimension"], report["step"]) == (method, 64, 10)
    assert report["cells"] == {"gray_levels": 17}
    for name, entry in report["images"].items():
        bits = arrays[f"{name}_total"] / (64 * np.log(2))
        assert entry["num_images"] == len(bits) == 20
        assert entry["bits_per_dim"] == pytest.approx(bits.mean())
        assert entry["error_over_images"] == pytest.approx(bits.std(ddof=1) / 20**0.5)
        assert tuple(entry["parts"]) == parts
        assert sum(entry["parts"].values()) == pytest.approx(entry["bits_per_dim"])
        assert f"{entry['bits_per_dim']:.4f}" in report["summary"]
    with Image.open(bounded / "evaluation" / f"likelihood_{method}.png") as picture:
        picture.verify()


def test_what_the_flow_says_of_its_errors(bounded):
    report, arrays = read(bounded, "flow")
    assert report["images"]["training"]["probe_error_of_an_image"] > 0
    assert arrays["training_evaluations"].min() >= 8
    error = report["solver_error"]
    assert error["n"] == 16
    assert 0 < error["mean"] <= error["largest"]
    assert report["sigmas"] == [get_config(str(bounded)).noise.sigma_min]


def test_levels_of_the_chain(bounded):
    report, arrays = read(bounded, "bound")
    noise = get_config(str(bounded)).noise
    assert len(report["sigmas"]) == 4
    assert report["sigmas"][0] == pytest.approx(noise.sigma_max)
    assert report["sigmas"][-1] == pytest.approx(noise.sigma_min)
    assert arrays["held_out_levels"].shape == (20, 3)


@pytest.mark.parametrize(
    # 40 images. Of 16 at a time the first 16 are there already; of 8 at a time none.
    ("size", "expected"),
    [(16, [16, 8]), (8, [8, 8, 8, 8, 8])],
)
def test_a_killed_job_continues_with_what_is_missing(
    bounded, small_run, tmp_path, monkeypatch, size, expected
):
    """With another number of images at a time, it begins again; the values are the same."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    original, calls, fits = ChainBound.terms, [], []

    def fitted_once(*arguments):
        fits[:] = fits or [fit_to_images(*arguments)]
        return fits[0]

    monkeypatch.setattr(module, "fit_to_images", fitted_once)

    def failing(self, images, seeds):
        calls.append(len(images))
        if len(calls) == 2:
            raise RunError("killed")
        return original(self, images, seeds)

    monkeypatch.setattr(ChainBound, "terms", failing)
    with pytest.raises(RunError, match="killed"):
        run_bound(workdir, "bound")
    assert not (workdir / "evaluation" / "likelihood_bound.json").exists()
    run_bound(workdir, "bound", batch_size=size)
    assert calls == [16, 16, *expected]
    for name, values in read(bounded, "bound")[1].items():
        np.testing.assert_allclose(read(workdir, "bound")[1][name], values, rtol=1e-4, err_msg=name)


def test_another_process_with_the_same_settings_is_refused(small_run, tmp_path, monkeypatch):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    original, refusals = ChainBound.terms, []

    def meanwhile(self, images, seeds):
        if not refusals:
            with pytest.raises(InvalidArgument) as refusal:
                run_bound(workdir, "bound")
            refusals.append(str(refusal.value))
        return original(self, images, seeds)

    monkeypatch.setattr(ChainBound, "terms", meanwhile)
    run_bound(workdir, "bound")
    assert refusals[0].startswith("`--workdir` must be bounded by one process at a time with the")
    assert not list(workdir.glob("evaluation/*.lock"))


def test_own_images(small_run, tmp_path):
    """The first validation images, given as a file, have their values in another batch."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    _, validation = build_images(get_config(str(workdir)))
    np.save(tmp_path / "own.npy", validation[:3])
    run_bound(workdir, "bound", images=str(tmp_path / "own.npy"))
    report, arrays = read(workdir, "bound")
    assert report["images"]["given"]["num_images"] == 3
    np.testing.assert_allclose(arrays["given_total"], arrays["held_out_total"][:3], rtol=1e-4)


def test_values_that_are_not_finite(small_run, tmp_path, monkeypatch):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    original = ChainBound.terms

    def broken(self, images, seeds):
        terms = original(self, images, seeds)
        terms.decoding[1] = np.inf
        return terms

    monkeypatch.setattr(ChainBound, "terms", broken)
    with pytest.raises(RunError, match="the bound of an image's likelihood is not finite"):
        run_bound(workdir, "bound")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "exact"}, "likelihood.method` must be one of"),
        ({"sigma_min": 5.0}, "likelihood.sigma_min` must lie below"),
        ({"num_levels": 1}, "likelihood.num_levels` must"),
        ({"num_probes": -1}, "likelihood.num_probes` must"),
        ({"flow_tolerance": 0.0}, "likelihood.flow_tolerance` must"),
        ({"seed": MAX_SEED + 1}, "likelihood.seed` must"),
    ],
)
def test_wrong_settings_are_refused(small_run, changes, message):
    with pytest.raises(InvalidArgument, match=message):
        run_bound(small_run, **{"method": "bound", **changes})
    assert not (small_run / "evaluation").exists()


def test_without_a_denoiser_there_is_no_bound():
    config = small_config(noise__weighting="score", sampling__sampler="annealed_langevin")
    with pytest.raises(InvalidArgument, match=r"likelihood\.method` must be ais, as noise"):
        with_overrides(config, {"likelihood.method": "flow"})


def test_starts_at_images_have_no_density(small_run, tmp_path):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    np.save(tmp_path / "start.npy", np.zeros((1, 8, 8, 1), np.float32))
    overrides = {
        **SETTINGS,
        "likelihood.method": "bound",
        "sampling.start": "images",
        "sampling.start_images": str(tmp_path / "start.npy"),
    }
    config = with_overrides(get_config(str(workdir)), overrides)
    with pytest.raises(InvalidArgument, match=r"`config\.sampling\.start` must be isotropic"):
        likelihood(config, str(workdir))
