"""The benchmarks `scaling`, `overheads` and `trace`: small runs, by their commands."""

import json

import pytest

from benchmarks.cost import overheads, scaling, trace
from benchmarks.cost.peers import timing
from benchmarks.cost.peers.case import Case

RECIPE = """
from small_runs import small_config

def get_config():
    return small_config()
"""


@pytest.mark.long
def test_scaling(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(timing, "_TURN_SECONDS", 0.02)
    monkeypatch.setattr(scaling, "_BASE", Case("res6", 2, (8, 8, 1), 4))
    sizes = {
        "side": {n: ({"image_shape": (n, n, 1)}, "float32") for n in (8, 16)},
        "parts": {n: ({}, f"float32, {n} parts") for n in (1, 3)},
    }
    monkeypatch.setattr(scaling, "SIZES", sizes)
    assert scaling.main([f"--output={tmp_path}", "--network=res6", "--rounds=2"]) == 0
    report = json.loads((tmp_path / "scaling.json").read_text())
    assert report["finished"]
    small, large = report["rows"]["side"]["values"]
    assert large["flops"] == 4 * small["flops"]
    assert small["over_first"] == 1
    assert min(small["seconds"], small["peak_mib"]) > 0
    # Four images cannot be three micro-batches: this row says so, and the others are measured.
    whole, thirds = report["rows"]["parts"]["values"]
    assert whole["seconds"] > 0
    assert "must be evenly divisible" in thirds["error"]
    text = (tmp_path / "scaling.md").read_text()
    assert text in capsys.readouterr().out
    assert "| 3 | ValueError: " in text


@pytest.mark.long
def test_overheads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(overheads, "_SAMPLERS", {"heun": {"num_levels": 9}})
    (tmp_path / "recipe.py").write_text(RECIPE)
    arguments = [f"--config={tmp_path / 'recipe.py'}", f"--output={tmp_path / 'out'}"]
    assert overheads.main([*arguments, "--rounds=1", "--steps=4"]) == 0
    rows = json.loads((tmp_path / "out" / "overheads.json").read_text())["rows"]
    assert rows["--help"]["seconds"] < rows["import tensorflow"]["seconds"]
    for name, row in rows.items():
        assert row["seconds"] > 0, name
    assert rows["gradient evaluation in heun, 17 evaluations"]["factor"] > 0
    shown = (tmp_path / "out" / "overheads.md").read_text()
    assert "| training step in the program's loop |" in shown
    assert shown in capsys.readouterr().out
    assert overheads.main(arguments) == 2
    assert "`--output` must hold no run yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("benchmark", "wrong", "message"),
    [
        (scaling, "--network=unet", "`--network` must be one of res6"),
        (scaling, "--only=depth", "`--only` must name some of batch"),
        (scaling, "--rounds=0", "`--rounds` must be positive"),
        (overheads, "--config=nothing.py", "`--config` must name an existing recipe"),
        (trace, "--steps=0", "`--steps` must be positive"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(benchmark, wrong, message, tmp_path, capsys):
    assert benchmark.main([f"--output={tmp_path / 'out'}", wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


def test_trace(tmp_path, capsys):
    (tmp_path / "recipe.py").write_text(RECIPE)
    arguments = [f"--config={tmp_path / 'recipe.py'}", f"--output={tmp_path / 'out'}"]
    assert trace.main([*arguments, "--steps=3"]) == 0
    kinds = json.loads((tmp_path / "out" / "trace.json").read_text())["rows"]
    # Res6: a stem, and three blocks of two convolutions and a shortcut; each is computed twice.
    forward = sum(kinds[kind]["calls"] for kind in ("Conv2D", "FusedConv2D") if kind in kinds)
    assert forward == 3 * 2 * 10
    assert kinds["Conv2D"]["seconds"] > 0
    shown = (tmp_path / "out" / "trace.md").read_text()
    assert "| all others |" in shown
    assert shown in capsys.readouterr().out
    assert trace.main(arguments) == 2
    assert "`--output` must hold no trace yet" in capsys.readouterr().err
