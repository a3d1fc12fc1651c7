"""The benchmark `sampler_quality`: gradient evaluations, and the command on a small run."""

import json
import shutil

import numpy as np
import pytest

from benchmarks.quality.sampler_quality import main
from benchmarks.samples import gradient_evaluations


def test_gradient_evaluations_of_images_that_converge_early():
    energies = np.array([[5.0, 5.0], [4.0, 5.0], [3.0, 5.0], [3.0, 5.0]])
    np.testing.assert_array_equal(gradient_evaluations(energies, 9, "coarse_to_fine"), [4, 2])
    np.testing.assert_array_equal(gradient_evaluations(energies, 9, "heun"), [9, 9])


@pytest.mark.long
def test_the_command(exported_run, tmp_path, capsys):
    """It writes a table, numbers and a plot; kept samples are used again."""
    workdir = tmp_path / "run"
    shutil.copytree(exported_run, workdir, ignore=shutil.ignore_patterns("export"))
    arguments = [f"--workdir={workdir}", "--num_samples=64"]
    only = "--only=heun 5 gaussian,coarse_to_fine beta 1.0 h0 0.03 gaussian"
    assert main([*arguments, only]) == 0
    folder = workdir / "benchmark"
    report = json.loads((folder / "sampler_quality.json").read_text())
    heun, ascent = report["rows"].values()
    assert heun["gradients"] == 9
    assert 2 <= ascent["gradients"] <= 201
    assert heun["distance"] > report["validation_distance"] > 0
    assert heun["seconds"] > 0
    assert report["features"].startswith("classifier(")
    assert (folder / "sampler_quality.png").stat().st_size > 1_000
    drawn = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(drawn) == 2
    assert main([*arguments, only, "--without_times"]) == 0
    assert drawn == {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    capsys.readouterr()
    for wrong, message in (
        ([*arguments, "--only=nothing"], "`--only` must"),
        ([f"--workdir={tmp_path}"], "`--workdir` must"),
        ([f"--workdir={workdir}", "--num_samples=9"], "`--num_samples` must"),
    ):
        assert main(wrong) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
