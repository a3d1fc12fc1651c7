"""The benchmark `ablation`: variants, equal time, tables, and the command on small runs."""

import json
import signal
import sys
import time

import pytest

from benchmarks.quality.ablation import main
from benchmarks.quality.ablation_report import tables
from benchmarks.quality.ablation_variants import VARIANTS
from benchmarks.quality.equal_time_training import steps_in, watch_process
from benchmarks.recipes import load_recipe, with_overrides

RECIPE = """
from small_runs import small_config

def get_config():
    return small_config(sampling__batch_size=64)
"""


@pytest.mark.parametrize(
    ("minutes", "seconds", "steps"),
    [(30, 0.13, 13_800), (1, 0.25, 240), (0.001, 5.0, 1), (10, 0.0577, 10_300)],
)
def test_steps_that_fill_the_time(minutes, seconds, steps):
    assert steps_in(minutes, seconds) == steps


@pytest.mark.parametrize("recipe", ["configs/fashion_mnist_small.py", "configs/digits_resnet.py"])
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_a_valid_recipe_that_differs(recipe, name):
    base = load_recipe(recipe)
    overrides = VARIANTS[name].overrides
    assert (with_overrides(base, overrides).to_dict() == base.to_dict()) == (name == "resnet")
    others = [variant.overrides for other, variant in VARIANTS.items() if other != name]
    assert overrides not in others
    assert VARIANTS[name].reason.endswith(".")


@pytest.mark.parametrize(
    ("base", "variant", "recipe"),
    [
        ("fashion_mnist_small", "unet_recommended", "fashion_mnist_unet"),
        ("digits_resnet", "unet_recommended_whole_pixels", "digits"),
    ],
)
def test_recipes_are_the_recommended_variants(base, variant, recipe):
    base, recipe = (load_recipe(f"configs/{name}.py") for name in (base, recipe))
    overrides = VARIANTS[variant].overrides | {"training.num_steps": recipe.training.num_steps}
    assert with_overrides(base, overrides).to_dict() == recipe.to_dict()


def test_an_interruption_stops_the_training_process(tmp_path):
    """The process gets SIGTERM and time to save; nothing is left running."""
    program = """
import pathlib, signal, sys, time
def save(*_):
    pathlib.Path(sys.argv[1], "saved").write_text("")
    sys.exit()
signal.signal(signal.SIGTERM, save)
pathlib.Path(sys.argv[1], "started").write_text("")
time.sleep(60)
"""

    def interrupt_once_started(*_):
        if (tmp_path / "started").exists():
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt_once_started)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    begin = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            watch_process([sys.executable, "-c", program, str(tmp_path)])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert (tmp_path / "saved").exists()
    assert time.monotonic() - begin < 30


def report_of(distances, seeds=(0,)):
    """A report of one variant, one sampler and one kind of outliers."""
    level = {"sigma": 0.1, "psnr": 20.0, "residual": 0.5}
    rows = {
        f"resnet, seed {seed}": {
            "name": "resnet",
            "seed": seed,
            "num_steps": 7,
            "training": {"peak_mib": 800.0 + seed, "seconds": 3.0},
            "validation_loss": 60.0 + seed,
            "levels": [{**level, "psnr": 20.0 + seed}] * 17,
            "samples": {"Heun, 5 levels": {"gradients": 9.0, "distance": distance}},
            "outliers": {"constant": {"energy": 0.75, "gradient_norm": 1.0}},
        }
        for seed, distance in zip(seeds, distances, strict=True)
    }
    costs = {"parameters": 1_234, "forward": 0.01, "gradient": 0.025, "step": 0.06}
    return {"rows": rows, "costs": {"resnet": costs}, "validation_distance": 0.5}


def test_tables_of_several_seeds():
    lines = tables(report_of([30.0, 31.0], seeds=(0, 1))).splitlines()
    assert "Heun, 5 levels: 9 gradient evaluations" in lines[0]
    assert lines[2] == "| resnet | 7 | 60.50 (60.00 … 61.00) | 30.50 (30.00 … 31.00) |"
    assert lines[3] == "| validation images |  |  | 0.50 |"
    assert (
        lines[7] == "| resnet | 1,234 | 10.0 | 25.0 ms = 2.5 passes | 60.0 ms = 6.0 passes | 801 |"
    )
    assert lines[11] == "| resnet | 20.50 | 20.50 | 20.50 | 20.50 | 0.75; 1.00 |"


def test_tables_say_which_samples_are_not_finite():
    assert tables(report_of([None])).splitlines()[2] == "| resnet | 7 | 60.00 | not finite |"


@pytest.mark.long
def test_the_command(tmp_path, capsys):
    """It writes numbers, tables and plots; nothing is timed, trained or sampled twice."""
    (tmp_path / "recipe.py").write_text(RECIPE)
    workdir = tmp_path / "runs"
    arguments = [f"--workdir={workdir}", f"--config={tmp_path / 'recipe.py'}"]
    arguments += ["--minutes=0.002", "--num_samples=64", "--only=resnet,unet"]
    assert main(arguments) == 0
    report = json.loads((workdir / "ablation.json").read_text())
    assert report["finished"]
    runs = report["rows"].values()
    assert [(run["name"], run["seed"]) for run in runs] == [("resnet", 0), ("unet", 0)]
    for run in runs:
        cost = report["costs"][run["name"]]
        assert 0 < cost["forward"] < cost["gradient"] < cost["step"]
        assert run["num_steps"] == steps_in(0.002, cost["step"])
        assert run["training"]["step"] == run["num_steps"]
        assert run["training"]["peak_mib"] > 100
        assert len(run["levels"]) == 17
        gradients = [row["gradients"] for row in run["samples"].values()]
        assert gradients[:4] == [9, 17, 35, 35]
        assert gradients[4] <= 35
    shown = (workdir / "ablation.md").read_text()
    assert shown in capsys.readouterr().out
    for name in ("ablation_distances.png", "ablation_levels.png"):
        assert (workdir / name).stat().st_size > 1_000
    kept = [*workdir.glob("*/drawn/*.npz"), *workdir.glob("*/training.json")]
    kept = {path: path.stat().st_mtime_ns for path in [*kept, workdir / "costs.json"]}
    assert len(kept) == 2 * 5 + 2 + 1
    costs = (workdir / "costs.json").read_text()
    assert main(arguments) == 0
    assert (workdir / "costs.json").read_text() == costs
    del kept[workdir / "costs.json"]
    assert kept == {path: path.stat().st_mtime_ns for path in kept}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--only=nothing", "`--only` must name some of resnet"),
        ("--seeds=0,one", "`--seeds` must"),
        ("--minutes=0", "`--minutes` must be positive"),
        ("--minutes=nan", "`--minutes` must be positive"),
        ("--num_samples=9", "`--num_samples` must"),
        ("--config=nothing.py", "`--config` must"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(wrong, message, tmp_path, capsys):
    assert main([f"--workdir={tmp_path / 'runs'}", wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "runs").exists()
