"""The benchmark `noise_levels` on a small run."""

import json

import pytest

from benchmarks.quality.noise_levels import main
from tests.helpers.recipes import SHORT_RECIPE


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.py"
    path.write_text(SHORT_RECIPE)
    return str(path)


def test_the_command(recipe, tmp_path, capsys):
    """It writes numbers, a table and pictures; nothing is trained or sampled twice."""
    workdir = tmp_path / "runs"
    arguments = [f"--workdir={workdir}", f"--config={recipe}", "--num_samples=64"]
    assert main(arguments) == 0
    report = json.loads((workdir / "noise_levels.json").read_text())
    assert list(report["rows"]) == ["small", "middle", "large", "many"]
    for run in report["rows"].values():
        assert len(run["levels"]) == 17
        assert all(row["residual"] > 0 for row in run["levels"])
        for sampler in run["samplers"].values():
            assert sampler["not_finite"] or sampler["distance"] > report["validation_distance"]
    shown = (workdir / "noise_levels.md").read_text()
    assert shown in capsys.readouterr().out
    for name in ("noise_levels.png", "noise_levels_residuals.png"):
        assert (workdir / name).stat().st_size > 1_000
    kept = {path: path.stat().st_mtime_ns for path in workdir.glob("*/[cd]*/*.[in]*")}
    assert len(kept) == 4 * 5
    assert main(arguments) == 0
    assert kept == {path: path.stat().st_mtime_ns for path in workdir.glob("*/[cd]*/*.[in]*")}
    assert json.loads((workdir / "noise_levels.json").read_text()) == report
    capsys.readouterr()
    for wrong, field in (
        ("--num_samples=9", "--num_samples"),
        ("--config=nothing.py", "--config"),
        ("--num_steps=0", "config.training.num_steps"),
        ("--num_steps=5", "config.training.num_steps"),
    ):
        assert main([*arguments, wrong]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"`{field}` must" in line
