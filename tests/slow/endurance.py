"""Endurance test: memory, open files and written files during long runs of a tiny model.

    python -m tests.slow.endurance --output=runs/endurance [--steps=20000] [--images=50000]

Trains, then samples, each in a process of its own, and measures these processes from outside:
memory, open files, threads, size of what they write. None of it should grow without limit. Writes
DIR/endurance.{json,md}: the measurements at tenths of the run.
"""

import argparse
import glob
import os
import pathlib
import subprocess
import sys
import time

from tests.helpers import small_runs as runs
from tf_mdsm.system.atomic import write_json, write_text

# Seconds between two measurements.
_INTERVAL_SECONDS = 0.5
_TRAINING = {
    "training__steps_per_call": 10,
    "training__checkpoint_every": 200,
    "training__log_every": 50,
    "training__validate_every": 1_000,
    "training__sample_every": 2_000,
    "optimizer__schedule": "constant",
}


def measure(process_id: int, folder: pathlib.Path) -> dict[str, float]:
    """Returns memory (MiB), open files, threads, event files (MiB), all files (MiB), checkpoints.

    Args:
        process_id: the process to measure.
        folder: the run's folder, which the process writes.
    """
    with open(f"/proc/{process_id}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)

    def mib(pattern: str) -> float:
        paths = glob.glob(str(folder / pattern), recursive=True)
        return sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) / 2**20

    return {
        "memory": int(fields["VmRSS"].split()[0]) / 1_024,
        "open files": len(os.listdir(f"/proc/{process_id}/fd")),
        "threads": int(fields["Threads"]),
        "events": mib("tensorboard/*"),
        "all files": mib("**/*"),
        "checkpoints": len(glob.glob(str(folder / "checkpoints" / "step-*.index"))),
    }


def watch(arguments: list[str], folder: pathlib.Path) -> list[dict[str, float]]:
    """Runs the program; returns measurements at short intervals, with the seconds since its start.

    Raises:
        RuntimeError: if the program fails.
    """
    measurements, begin = [], time.monotonic()
    process = subprocess.Popen(
        runs.command(*arguments, f"--workdir={folder}"),
        cwd=runs.ROOT,
        env=runs.environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        try:
            values = measure(process.pid, folder)
        except (OSError, KeyError):  # A file or the process ended during the measurement.
            continue
        measurements.append({"seconds": time.monotonic() - begin, **values})
        time.sleep(_INTERVAL_SECONDS)
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode())
    return measurements


def at_tenths(measurements: list[dict[str, float]]) -> list[dict[str, float]]:
    """Returns the measurements at 2/10, 3/10, … 9/10 of the run, without its start and end."""
    last = len(measurements) - 1
    indices = (round(tenth * len(measurements) / 10) for tenth in range(2, 10))
    return [measurements[min(last, index)] for index in indices]


def markdown(report: dict[str, list[dict[str, float]]]) -> str:
    """Returns a Markdown table of measurements for each run."""
    lines = []
    for name, rows in report.items():
        keys = list(rows[0])
        lines += [f"{name}:", "", f"| {' | '.join(keys)} |", "| --- " * len(keys) + "|"]
        lines += [f"| {' | '.join(f'{row[key]:.4g}' for key in keys)} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Runs training and sampling, and writes the report; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.slow.endurance")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=50_000)
    options = parser.parse_args(argv[1:])
    folder = options.output.resolve() / "run"
    training = runs.flags(training__num_steps=options.steps, **_TRAINING)
    sampling = ["--mode=sample", f"--config.sampling.num_samples={options.images}"]
    sampling += ["--config.sampling.batch_size=256"]
    report = {
        f"{options.steps:,} training steps": at_tenths(watch(training, folder)),
        f"{options.images:,} images sampled": at_tenths(watch(sampling, folder)),
    }
    stem = str(options.output / "endurance")
    write_json(report, f"{stem}.json")
    write_text(markdown(report), f"{stem}.md")
    print(markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
