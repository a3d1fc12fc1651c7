"""Command lines of benchmarks: wrong flags, stop signals, exit status."""

import json
import signal
import time

import pytest

from benchmarks.__main__ import main
from benchmarks.command import chosen_names, require_positive, run_benchmark
from benchmarks.results import Results
from tf_mdsm.errors import InvalidArgument, RunError, ServingError


@pytest.mark.parametrize(
    ("benchmark", "wrong", "message"),
    [
        ("steps", "--cases=res99", "`--cases` must name some of res12_16"),
        ("steps", "--peers=ours,theano", "`--peers` must name some of ours"),
        ("steps", "--peers=pytorch", "`--peers` must hold ours"),
        ("steps", "--rounds=0", "`--rounds` must be positive"),
        ("steps", "--without=float", "`--without` must leave our float32 step"),
        ("scaling", "--network=unet", "`--network` must be one of res6"),
        ("scaling", "--only=depth", "`--only` must name some of batch"),
        ("scaling", "--rounds=0", "`--rounds` must be positive"),
        ("overheads", "--config=nothing.py", "`--config` must name an existing recipe"),
        ("overheads", "--rounds=0", "`--rounds` must be positive"),
        ("trace", "--steps=0", "`--steps` must be positive"),
        ("ablation", "--only=nothing", "`--only` must name some of resnet"),
        ("ablation", "--seeds=0,one", "`--seeds` must"),
        ("ablation", "--minutes=0", "`--minutes` must be positive"),
        ("ablation", "--minutes=nan", "`--minutes` must be positive"),
        ("ablation", "--num_samples=9", "`--num_samples` must"),
        ("ablation", "--config=nothing.py", "`--config` must"),
        ("sampler_quality", "--only=nothing", "`--only` must name some of"),
        ("sampler_quality", "--num_samples=9", "`--workdir` must hold a run's config.json"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(benchmark, wrong, message, tmp_path, capsys):
    has_workdir = benchmark in ("ablation", "sampler_quality")
    folder = f"--{'workdir' if has_workdir else 'output'}={tmp_path / 'out'}"
    assert main([benchmark, folder, wrong]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{benchmark}: {message}")
    assert not (tmp_path / "out").exists()


def measure_three_cases(folder, stop: signal.Signals | None) -> None:
    """A benchmark of three cases; before the second one its process gets a signal."""
    with Results(str(folder / "toy.json"), {"cases": 3}) as results:
        try:
            for case in ("one", "two", "three"):
                if case in results.rows:
                    continue
                if case == "two" and stop is not None:
                    signal.raise_signal(stop)
                results.add(case, {"seconds": 0.5, "measured": time.time()})
            results.finish()
        finally:
            (folder / "cleaned").touch()


@pytest.fixture
def interrupts():
    """SIGINT raises KeyboardInterrupt, which a process in the background does not inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.usefixtures("interrupts")
def test_a_stopped_benchmark_keeps_its_rows_and_continues(stop, status, tmp_path, capsys):
    path, before = tmp_path / "toy.json", signal.getsignal(signal.SIGTERM)
    assert run_benchmark("toy", lambda: measure_three_cases(tmp_path, stop)) == status
    assert signal.getsignal(signal.SIGTERM) == before
    report = json.loads(path.read_text())
    assert (list(report["rows"]), report["finished"]) == (["one"], False)
    assert capsys.readouterr().err.splitlines() == [f"rows so far: 1, in {path}", "toy: stopped"]
    assert (tmp_path / "cleaned").exists()
    assert run_benchmark("toy", lambda: measure_three_cases(tmp_path, None)) == 0
    continued = json.loads(path.read_text())
    assert (list(continued["rows"]), continued["finished"]) == (["one", "two", "three"], True)
    assert continued["rows"]["one"] == report["rows"]["one"]


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
