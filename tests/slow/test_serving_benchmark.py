"""The benchmarks of serving and of portable programs, as commands."""

import json
import subprocess
import sys

import pytest

from benchmarks.cost import portable
from tests.helpers.photo_runs import make_photo_run
from tests.helpers.small_runs import ROOT, environment


def test_the_benchmark_measures_both_interfaces(exported_run, tmp_path):
    output = tmp_path / "numbers.json"
    command = [sys.executable, "-m", "benchmarks", "serving", "--repeats=1"]
    result = subprocess.run(
        [*command, f"--workdir={exported_run}", f"--output={output}"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    numbers = json.loads(output.read_text())
    assert set(numbers["rows"]) == {"1", "8", "64"}
    for batch in numbers["rows"].values():
        assert set(batch["seconds"]) == {"in_process", "grpc", "rest"}
        assert all(len(seconds) == 1 for seconds in batch["seconds"].values())
        assert batch["median_ratio"]["in_process"] == 1
    assert set(numbers["first_request_seconds"]) == {"cold", "after_warm_up"}
    # Five requests; two of them sample images.
    assert numbers["warm_up_seconds"] > 0
    assert "export's loading" in result.stdout


def test_portable_programs_answer_as_the_saved_model(tmp_path):
    """Of a run on patches, whose network takes images of any size."""
    pytest.importorskip("jaxlib")
    workdir = make_photo_run(tmp_path, 1)
    assert portable.main([f"--workdir={workdir}", "--repeats=1"]) == 0
    rows = json.loads((workdir / "portable.json").read_text())["rows"]
    names = ("sample", "energy", "score", "denoise", "noise_level", "inpaint")
    assert set(rows) == {f"{name}, {size}" for name in names for size in (1, 16)}
    # What an export may differ by (`tf_mdsm.serving.answers`).
    assert max(row["difference"] for row in rows.values()) < 1e-5
