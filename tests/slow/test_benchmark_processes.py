"""Processes of benchmarks: stopped and continued, failed peers, an interrupted training."""

import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from benchmarks.cost import steps
from benchmarks.cost.peers import timing
from benchmarks.cost.peers.case import CASES
from benchmarks.quality.equal_time_training import watch_process
from tests.helpers.small_runs import ROOT, environment, running
from tf_mdsm.errors import RunError

TINY = dataclasses.replace(CASES["res12_16"], network="res6", channels=2, batch_size=3)


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


def test_a_peer_that_fails_reports_its_error():
    with timing.peer_processes([("pytorch_of_tomorrow", "eager", TINY)]) as (process,):
        process.calibrate("train")
        assert "ModuleNotFoundError" in process.error
        assert process.seconds_per_step("train") is None
        assert list(timing.time_in_rounds([process], 2)) == [{}, {}]


def test_an_interruption_ends_all_peer_processes():
    processes = []

    def interrupted() -> None:
        wanted = [("pytorch_of_tomorrow", "eager", TINY)] * 2
        with timing.peer_processes(wanted) as started:
            processes.extend(started)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process._process.returncode is None for process in processes] == [False, False]


def test_results_need_our_own_float32_step(monkeypatch):
    """The others are compared with it: a network that does not fit its images ends the case."""
    monkeypatch.setattr(steps, "PEERS", {"ours": ("float32",)})
    monkeypatch.setattr(steps, "_CEILING_MODES", ())
    monkeypatch.setattr(steps, "case_flops", lambda _: (1, 1))
    wrong = dataclasses.replace(TINY, image_shape=(9, 9, 1))
    with pytest.raises(RunError, match="ours, float32: InvalidArgument"):
        list(steps.measure(wrong, ["ours"], rounds=1))


# A benchmark of three cases: the second one lasts until somebody removes the file "wait".
TOY = """
import pathlib, signal, sys, time
from benchmarks.command import run_benchmark
from benchmarks.results import Results

# A shell that runs the tests in the background has SIGINT ignored, which is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
folder = pathlib.Path(sys.argv[1])

def benchmark():
    with Results(str(folder / "toy.json"), {"cases": 3}) as results:
        try:
            for case in ("one", "two", "three"):
                if case in results.rows:
                    continue
                while case == "two" and (folder / "wait").exists():
                    time.sleep(0.01)
                results.add(case, {"seconds": 0.5, "measured": time.time()})
            results.finish()
        finally:
            (folder / "cleaned").write_text("")

sys.exit(run_benchmark("toy", benchmark))
"""


def toy(folder: pathlib.Path):
    """The toy benchmark, running."""
    return running([sys.executable, "-c", TOY, str(folder)])


def run_until_first_row(folder: pathlib.Path, stop: signal.Signals) -> tuple[int, str]:
    """Stops the toy benchmark after its first row; its exit status and standard error."""
    (folder / "wait").write_text("")
    with toy(folder) as process:
        deadline = time.monotonic() + 60
        while not (folder / "toy.json").exists() and process.poll() is None:
            assert time.monotonic() < deadline, "no row was written"
            time.sleep(0.01)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=30)
    (folder / "wait").unlink()
    return process.returncode, errors


@pytest.mark.parametrize(
    ("stop", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_stopped_benchmark_keeps_its_rows_and_continues(tmp_path, stop, status):
    returncode, errors = run_until_first_row(tmp_path, stop)
    assert returncode == status
    report = json.loads((tmp_path / "toy.json").read_text())
    assert list(report["rows"]) == ["one"]
    assert report["finished"] is False
    if stop != signal.SIGKILL:
        rows, stopped = errors.splitlines()
        assert rows == f"rows so far: 1, in {tmp_path / 'toy.json'}"
        assert stopped == "toy: stopped"
        assert (tmp_path / "cleaned").exists()
    with toy(tmp_path) as process:
        assert process.wait(60) == 0
    continued = json.loads((tmp_path / "toy.json").read_text())
    assert continued["finished"] is True
    assert list(continued["rows"]) == ["one", "two", "three"]
    assert continued["rows"]["one"] == report["rows"]["one"]


def test_the_module_runs():
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks", "sampler_quality", "--help"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "--without_times" in result.stdout
