"""Jobs on an accelerator: names and limits, what is kept of a job that fails or takes too long."""

import json
import sys

import pytest

from benchmarks.accelerator import run
from benchmarks.accelerator.cases import CASES
from benchmarks.accelerator.peer_jobs import TORCH_MODES


@pytest.mark.parametrize("jobs", ["", "fly:res12=30", "time:res12", "time:res12=soon"])
def test_wrong_jobs_are_refused(tmp_path, capsys, jobs):
    flags = [f"--folder={tmp_path}", f"--output={tmp_path / 'out'}", f"--jobs={jobs or '='}"]
    assert run.main(flags) == 2
    assert "`--jobs` must be KIND:CASE=SECONDS" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_default_jobs_name_cases_and_modes_that_exist():
    for text in run.DEFAULT_JOBS.split(";"):
        kind, case, *mode = text.rpartition("=")[0].split(":")
        assert kind == "convolutions" or case in CASES
        assert not mode or mode[0] in TORCH_MODES


def test_findings_are_kept_whatever_becomes_of_the_job(tmp_path, monkeypatch):
    """A job that tells one finding and then sleeps, and one that fails after its finding."""
    program = "import sys, time; print('{\"a\": 1}', flush=True); exec(sys.argv[1])"
    ends = {"describe:slow": "time.sleep(60)", "describe:broken": "1 / 0", "describe:good": ""}
    monkeypatch.setattr(
        run, "job_command", lambda name, *_: [sys.executable, "-c", program, ends[name]]
    )
    run.run_jobs([(name, 5.0) for name in ends], "folder", str(tmp_path), seconds=100)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [results[name]["findings"] for name in ends] == [[{"a": 1}]] * 3
    statuses = [results[name]["status"] for name in ends]
    assert statuses == ["exit status -9", "exit status 1", "done"]
    assert "ZeroDivisionError" in (tmp_path / "log.txt").read_text()
    run.run_jobs([("describe:good", 5.0)], "folder", str(tmp_path), seconds=100)
    again = json.loads((tmp_path / "results.json").read_text())
    assert list(again) == list(ends)
    assert again["describe:slow"] == results["describe:slow"]
    assert again["describe:good"]["findings"] == [{"a": 1}]


def test_jobs_without_time_are_left_out(tmp_path, capsys):
    run.run_jobs([("describe:res12", 30.0)], "folder", str(tmp_path), seconds=1)
    assert capsys.readouterr().out == "describe:res12: no time left\n"
    assert not (tmp_path / "results.json").exists()
