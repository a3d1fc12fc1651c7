"""What all benchmarks share: the list of them, results that survive a stop, exit status."""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from small_runs import ROOT, environment

from benchmarks.__main__ import FOLDERS, description, index, main
from benchmarks.command import chosen_names, require_positive, run_benchmark
from benchmarks.cost.turns import median_ratio, time_in_turns
from benchmarks.results import Results, markdown_table
from tf_mdsm.errors import InvalidArgument, RunError, ServingError

BENCHMARKS = [(folder, name) for folder, (_, names) in FOLDERS.items() for name in names]

# A benchmark of three cases: the second one lasts until somebody removes the file "wait".
TOY = """
import pathlib, sys, time
from benchmarks.command import run_benchmark
from benchmarks.results import Results

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


@contextlib.contextmanager
def toy(folder: pathlib.Path):
    process = subprocess.Popen(
        [sys.executable, "-c", TOY, str(folder)],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background has SIGINT ignored, which is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


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


def test_unfinished_results_are_continued_only_if_they_are_comparable(tmp_path):
    path = str(tmp_path / "toy.json")
    Results(path, {"rounds": 7}).add("one", {"seconds": 1.0})
    assert Results(path, {"rounds": 7}).rows == {"one": {"seconds": 1.0}}
    assert Results(path, {"rounds": 9}).rows == {}
    report = json.loads((tmp_path / "toy.json").read_text())
    report["machine"]["processor"] = "another"
    (tmp_path / "toy.json").write_text(json.dumps(report))
    assert Results(path, {"rounds": 7}).rows == {}
    # Nothing is overwritten before there is a row.
    assert json.loads((tmp_path / "toy.json").read_text()) == report


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rows": 1}'])
def test_other_files_are_not_continued(tmp_path, content):
    path = tmp_path / "toy.json"
    path.write_text(content)
    results = Results(str(path), {})
    assert results.rows == {}
    results.add("one", {})
    assert list(json.loads(path.read_text())["rows"]) == ["one"]


def test_finished_results(tmp_path, capsys):
    path = tmp_path / "folder" / "toy.json"
    results = Results(str(path), {"sizes": (8, 8)})
    results.set_facts(features="none")
    results.add("b", {"seconds": 2.0})
    results.add("a", {"seconds": 1.0})
    report = results.finish(["a", "b"])
    results.write_table(markdown_table([["case", "s"], ["a", "1"]]))
    assert list(report["rows"]) == ["a", "b"]
    assert report["features"] == "none"
    assert report["machine"]["processor"]
    assert report["machine"]["cores"] > 0
    assert {"python", "tensorflow", "keras", "commit"} <= report["software"].keys()
    assert json.loads(path.read_text()) == json.loads(json.dumps(report))
    table = (tmp_path / "folder" / "toy.md").read_text()
    assert table == "| case | s |\n| --- | --- |\n| a | 1 |\n"
    assert "| a | 1 |" in capsys.readouterr().out
    # Finished results are measured anew.
    assert Results(str(path), {"sizes": (8, 8)}).rows == {}


def failing(error):
    def benchmark():
        raise error

    return benchmark


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InvalidArgument("--rounds", "be positive", 0), 2, "`--rounds` must be positive"),
        (RunError("no trace"), 1, "no trace"),
        (ServingError("no server"), 1, "no server"),
        (KeyboardInterrupt(), 130, "stopped"),
    ],
)
def test_exit_status(error, status, message, capsys):
    before = signal.getsignal(signal.SIGTERM)
    assert run_benchmark("toy", failing(error)) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"toy: {message}")
    assert signal.getsignal(signal.SIGTERM) == before


def test_sigterm_in_a_benchmark(capsys):
    assert run_benchmark("toy", lambda: signal.raise_signal(signal.SIGTERM)) == 143
    assert capsys.readouterr().err == "toy: stopped\n"


def test_chosen_names():
    assert chosen_names("--only", None, ["a", "b"]) == ["a", "b"]
    assert chosen_names("--only", "b, a", ["a", "b"]) == ["b", "a"]
    for wrong in ("c", "", "a,"):
        with pytest.raises(InvalidArgument, match="`--only` must name some of a, b"):
            chosen_names("--only", wrong, ["a", "b"])


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_numbers_that_are_not_positive(value):
    require_positive("--rounds", 1)
    with pytest.raises(InvalidArgument, match="`--rounds` must be positive"):
        require_positive("--rounds", value)


def test_time_in_turns():
    calls = []
    jobs = {name: lambda n=name: calls.append(n) for name in "abc"}
    seconds = time_in_turns(jobs, rounds=2)
    # The first round is not counted; the order rotates.
    assert "".join(calls) == "abc" + "bca" + "cab"
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 2)
    assert time_in_turns({}, rounds=2) == {}
    assert median_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == 2


@pytest.mark.parametrize(("folder", "name"), BENCHMARKS)
def test_the_index_describes_every_benchmark(folder, name):
    line = description(folder, name)
    assert "\n" not in line
    assert " Duration: " in line
    assert " Writes: " in line
    assert f"  {name:16} {line}" in index().splitlines()


def test_every_benchmark_is_listed():
    listed = {ROOT / "benchmarks" / folder / f"{name}.py" for folder, name in BENCHMARKS}
    modules = (ROOT / "benchmarks").glob("*/*.py")
    assert {path for path in modules if "\ndef main(argv" in path.read_text()} == listed


def test_the_command_lists_and_refuses(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == f"{index()}\n"
    assert main(["speed"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "`NAME` must be one of steps, " in line


@pytest.mark.parametrize(("folder", "name"), BENCHMARKS)
def test_help(folder, name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out


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
