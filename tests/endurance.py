"""Long runs of a tiny model: what grows with time, and should not.

    python tests/endurance.py --output=runs/endurance [--steps=20000] [--images=50000]

Trains, then draws, as processes of their own, and looks at them from outside: memory, open files,
the size of what they write. Writes DIR/endurance.{json,md}: each at tenths of the run.
"""

import argparse
import glob
import json
import os
import pathlib
import subprocess
import sys
import time

import small_runs as runs

from tf_mdsm.system.atomic import atomic_write

_LOOK_SECONDS = 0.5
_TRAINING = {
    "training__steps_per_call": 10,
    "training__checkpoint_every": 200,
    "training__log_every": 50,
    "training__validate_every": 1_000,
    "training__sample_every": 2_000,
    "optimizer__schedule": "constant",
}


def look(process: int, folder: pathlib.Path) -> dict[str, float]:
    """Memory in MiB, open files, MiB of events and of all files, checkpoints; of a process."""
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)

    def mib(pattern: str) -> float:
        paths = glob.glob(str(folder / pattern), recursive=True)
        return sum(os.path.getsize(path) for path in paths if os.path.isfile(path)) / 2**20

    return {
        "memory": int(fields["VmRSS"].split()[0]) / 1_024,
        "open files": len(os.listdir(f"/proc/{process}/fd")),
        "threads": int(fields["Threads"]),
        "events": mib("tensorboard/*"),
        "all files": mib("**/*"),
        "checkpoints": len(glob.glob(str(folder / "checkpoints" / "step-*.index"))),
    }


def watch(arguments: list[str], folder: pathlib.Path) -> list[dict[str, float]]:
    """Looks at a run of the program, each with the seconds since its start."""
    looks, begin = [], time.monotonic()
    process = subprocess.Popen(
        runs.command(*arguments, f"--workdir={folder}"),
        cwd=runs.ROOT,
        env=runs.environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        try:
            found = look(process.pid, folder)
        except (OSError, KeyError):  # A file, or the process, went while it was looked at.
            continue
        looks.append({"seconds": time.monotonic() - begin, **found})
        time.sleep(_LOOK_SECONDS)
    if process.returncode:
        raise RuntimeError(process.stderr.read().decode())
    return looks


def at_tenths(looks: list[dict[str, float]]) -> list[dict[str, float]]:
    """The looks nearest to each tenth of the run, without its start and its end."""
    count = len(looks)
    return [looks[min(count - 1, round(tenth * count / 10))] for tenth in range(2, 10)]


def markdown(report: dict[str, list[dict[str, float]]]) -> str:
    lines = []
    for name, looks in report.items():
        keys = list(looks[0])
        lines += [f"{name}:", "", f"| {' | '.join(keys)} |", "| --- " * len(keys) + "|"]
        lines += [f"| {' | '.join(f'{one[key]:.4g}' for key in keys)} |" for one in looks]
        lines.append("")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python tests/endurance.py")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=50_000)
    options = parser.parse_args(argv[1:])
    folder = options.output.resolve() / "run"
    training = runs.flags(training__num_steps=options.steps, **_TRAINING)
    drawing = ["--mode=sample", f"--config.sampling.num_samples={options.images}"]
    drawing += ["--config.sampling.batch_size=256"]
    report = {
        f"{options.steps:,} training steps": at_tenths(watch(training, folder)),
        f"{options.images:,} images drawn": at_tenths(watch(drawing, folder)),
    }
    stem = str(options.output / "endurance")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(markdown(report))
    print(markdown(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
