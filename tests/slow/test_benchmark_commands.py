"""Benchmarks by their commands, on small runs."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from benchmarks.cost import overheads, scaling, steps, trace
from benchmarks.cost.peers import timing
from benchmarks.cost.peers.case import CASES, Case
from benchmarks.quality import (
    ablation,
    memorization,
    photograph_tasks,
    photographs,
    sampler_quality,
)
from benchmarks.quality.equal_time_training import steps_in
from tests.helpers.photo_runs import make_photo_run
from tests.helpers.small_runs import call

RECIPE = """
from tests.helpers.small_runs import small_config

def get_config():
    return small_config(network__name="res6", network__channels=2, sampling__batch_size=64)
"""
TINY = dataclasses.replace(CASES["res12_16"], network="res6", channels=2, batch_size=3)


@pytest.fixture
def recipe(tmp_path) -> str:
    """The flag that names a recipe of a small run with a convolutional network."""
    (tmp_path / "recipe.py").write_text(RECIPE)
    return f"--config={tmp_path / 'recipe.py'}"


def test_ablation(recipe, tmp_path, capsys):
    """It writes numbers, tables and plots; nothing is timed, trained or sampled twice."""
    workdir = tmp_path / "runs"
    arguments = [f"--workdir={workdir}", recipe]
    arguments += ["--minutes=0.002", "--num_samples=64", "--only=resnet,unet"]
    assert ablation.main(arguments) == 0
    report = json.loads((workdir / "ablation.json").read_text())
    assert report["finished"]
    runs = report["rows"].values()
    assert [(run["name"], run["seed"]) for run in runs] == [("resnet", 0), ("unet", 0)]
    for run in runs:
        cost = report["costs"][run["name"]]
        assert min(cost["forward"], cost["gradient"], cost["step"]) > 0
        assert run["num_steps"] == steps_in(0.002, cost["step"])
        assert run["training"]["step"] == run["num_steps"]
        assert run["training"]["peak_mib"] > 100
        assert len(run["levels"]) == 17
        gradients = [row["gradients"] for row in run["samples"].values()]
        assert gradients[:5] == [6, 9, 17, 35, 35]
        assert gradients[5] <= 35
    shown = (workdir / "ablation.md").read_text()
    assert shown in capsys.readouterr().out
    for name in ("ablation_distances.png", "ablation_levels.png"):
        assert (workdir / name).stat().st_size > 1_000
    kept = [*workdir.glob("*/drawn/*.npz"), *workdir.glob("*/training.json")]
    kept = {path: path.stat().st_mtime_ns for path in [*kept, workdir / "costs.json"]}
    assert len(kept) == 2 * 6 + 2 + 1
    costs = (workdir / "costs.json").read_text()
    assert ablation.main(arguments) == 0
    assert (workdir / "costs.json").read_text() == costs
    del kept[workdir / "costs.json"]
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.parametrize(
    ("benchmark", "flag", "picture", "columns"),
    [
        (photographs, ["--levels=25", "--methods=energy,one_step"], "25", 4),
        (photograph_tasks, ["--tasks=super_resolution_2"], "super_resolution_2", 4),
    ],
)
def test_photographs(tmp_path, capsys, benchmark, flag, picture, columns):
    """It writes numbers, a table, and pictures with all grays."""
    settings = {"restoration__max_steps": 2, "restoration__num_solutions": 1}
    workdir = make_photo_run(tmp_path, 1, restoration__start="isotropic", **settings)
    arguments = [f"--workdir={workdir}", *flag]
    assert benchmark.main(arguments) == 0
    folder = workdir / "benchmark"
    name = benchmark.__name__.rpartition(".")[2]
    report = json.loads((folder / f"{name}.json").read_text())
    assert report["finished"]
    assert [row["photograph"] for row in report["rows"].values()] == ["astronaut", "camera"]
    assert (folder / f"{name}.md").read_text() in capsys.readouterr().out
    pictures = [*folder.glob(f"*_{picture}.png")]
    assert len(pictures) == 2
    for file in pictures:
        pixels = np.asarray(Image.open(file))
        assert pixels.shape[1] > (columns - 0.5) * pixels.shape[0]
        first = pixels[:, : pixels.shape[1] // columns]
        assert len(np.unique(first)) > 200


def test_memorization(exported_run, tmp_path, capsys):
    """The run samples from one Gaussian: first it needs a mixture."""
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir, ignore=shutil.ignore_patterns("export"))
    arguments = [f"--workdir={workdir}", "--num_samples=80"]
    assert memorization.main(arguments) == 2
    assert "`config.sampling.start` must be mixture" in capsys.readouterr().err
    assert call(f"--workdir={workdir}", "--config.sampling.start=mixture").returncode == 0
    assert memorization.main(arguments) == 0
    report = json.loads((workdir / "benchmark" / "memorization_n_80.json").read_text())
    assert list(report["rows"]) == ["validation images", "the mixture alone", "samples"]
    assert report["rows"]["validation images"]["near"] == pytest.approx(0.05, abs=1 / 180)
    gaussians = report["gaussians"]
    assert sum(row["images"]["samples"] for row in gaussians) == 80
    near = sum(row["near"]["samples"] for row in gaussians) / 80
    assert near == pytest.approx(report["rows"]["samples"]["near"])


def test_sampler_quality(exported_run, tmp_path, capsys):
    """It writes a table, numbers and a plot; kept samples are used again."""
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir, ignore=shutil.ignore_patterns("export"))
    arguments = [f"--workdir={workdir}", "--num_samples=64"]
    only = "--only=heun 5 gaussian,coarse_to_fine beta 1.0 h0 0.03 gaussian"
    assert sampler_quality.main([*arguments, only]) == 0
    folder = workdir / "benchmark"
    report = json.loads((folder / "sampler_quality_n_64.json").read_text())
    heun, ascent = report["rows"].values()
    assert heun["gradients"] == 9
    assert 2 <= ascent["gradients"] <= 201
    distance, of_validation = heun["distances"], report["validation"]["distances"]
    assert distance["classifier"] > of_validation["classifier"] > 0
    assert 0 <= heun["precision"] <= 1
    assert report["validation"]["recall"] > 0.5
    assert heun["seconds"] > 0
    assert report["features"]["classifier"].startswith("classifier(")
    assert (folder / "sampler_quality_n_64.png").stat().st_size > 1_000
    drawn = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(drawn) == 2
    assert sampler_quality.main([*arguments, only, "--without_times"]) == 0
    assert drawn == {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    later = [*arguments, "--only=heun 5 gaussian", "--seed=32", "--without_times"]
    assert sampler_quality.main(later) == 0
    assert (folder / "sampler_quality_seed_32_n_64.json").exists()
    (first,) = (path for path in drawn if path.name.startswith("heun"))
    (second,) = set(folder.glob("heun*.npz")) - {first}
    images, images_later = (np.load(path)["images"].astype(int) for path in (first, second))
    assert abs(images[32:] - images_later[:32]).max() <= 1  # the same seeds, another place
    assert not np.array_equal(images[:32], images_later[32:])
    capsys.readouterr()
    for wrong, message in (
        ([*arguments, "--only=nothing"], "`--only` must"),
        ([f"--workdir={tmp_path}"], "`--workdir` must"),
        ([f"--workdir={workdir}", "--num_samples=9"], "`--num_samples` must"),
    ):
        assert sampler_quality.main(wrong) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_all_modes_of_ours_on_a_small_case(monkeypatch):
    monkeypatch.setattr(timing, "_TURN_SECONDS", 0.02)
    first, result = steps.measure(TINY, ["ours", "convolutions"], rounds=2, without="XLA")
    assert (first["rounds"], result["rounds"]) == (1, 2)
    modes = [(row["peer"], row["mode"]) for row in result["peers"]]
    ours = [("ours", mode) for mode in steps.PEERS["ours"] if "XLA" not in mode]
    assert modes == [*ours, ("convolutions", "float32"), ("convolutions", "bfloat16")]
    for row in result["peers"]:
        assert row["error"] is None
        assert row["peak_mib"] > 50
        for job in ("train", "langevin"):
            assert row[job]["seconds"] > 0
    assert result["peers"][0]["train"]["over_ours"] == 1
    assert result["ceilings"]["float32"] > 0
    json.dumps(result)
    text = steps.table({"tiny": result})
    assert f"{result['forward_flops'] / 1e6:.1f} MFLOP" in text
    assert "| ours, mixed_bfloat16 |" in text


def test_scaling(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "_TURN_SECONDS", 0.02)
    monkeypatch.setattr(scaling, "_BASE", Case("res6", 2, (8, 8, 1), 4))
    sizes = {
        "side": {n: ({"image_shape": (n, n, 1)}, "float32") for n in (8, 16)},
        "parts": {n: ({}, f"float32, {n} parts") for n in (1, 0)},
    }
    monkeypatch.setattr(scaling, "SIZES", sizes)
    assert scaling.main([f"--output={tmp_path}", "--network=res6", "--rounds=2"]) == 0
    report = json.loads((tmp_path / "scaling.json").read_text())
    assert report["finished"]
    small, large = report["rows"]["side"]["values"]
    assert large["flops"] == 4 * small["flops"]
    assert small["over_first"] == 1
    assert min(small["seconds"], small["peak_mib"]) > 0
    # There are no zero micro-batches: this row says so, and the others are measured.
    whole, none = report["rows"]["parts"]["values"]
    assert whole["seconds"] > 0
    assert "`accumulation_steps` must be a whole number of at least 1" in none["error"]
    text = (tmp_path / "scaling.md").read_text()
    assert text in capsys.readouterr().out
    assert "| 0 | InvalidArgument: " in text


def test_overheads(recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(overheads, "_SAMPLERS", {"heun": {"num_levels": 9}})
    arguments = [recipe, f"--output={tmp_path / 'out'}"]
    assert overheads.main([*arguments, "--rounds=1", "--steps=4"]) == 0
    rows = json.loads((tmp_path / "out" / "overheads.json").read_text())["rows"]
    for name, row in rows.items():
        assert row["seconds"] > 0, name
    assert rows["gradient evaluation in heun, 17 evaluations"]["factor"] > 0
    shown = (tmp_path / "out" / "overheads.md").read_text()
    assert "| training step in the program's loop |" in shown
    assert shown in capsys.readouterr().out
    assert overheads.main(arguments) == 2
    assert "`--output` must hold no run yet" in capsys.readouterr().err


def test_trace(recipe, tmp_path, capsys):
    arguments = [recipe, f"--output={tmp_path / 'out'}"]
    assert trace.main([*arguments, "--steps=3"]) == 0
    kinds = json.loads((tmp_path / "out" / "trace.json").read_text())["rows"]
    # Res6: a stem, and three blocks of two convolutions and a shortcut; each is computed twice.
    forward = sum(kinds[kind]["calls"] for kind in ("Conv2D", "FusedConv2D") if kind in kinds)
    assert forward == 3 * 2 * 10
    assert kinds["Conv2D"]["seconds"] > 0
    shown = (tmp_path / "out" / "trace.md").read_text()
    assert "| all others |" in shown
    assert shown in capsys.readouterr().out
