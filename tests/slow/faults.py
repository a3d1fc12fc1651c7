"""Fault injection: kills, damaged files, full disks and other faults, and the results after them.

    python -m tests.slow.faults --output=runs/faults [--count=120] [--seed=0] [--only=train,…]

Small runs of training, sampling, evaluation and export get SIGKILL, SIGTERM or SIGINT at random
moments, and are started again until they finish. Checkpoints are truncated or get a flipped bit,
images of a folder are damaged, the disk is full, the folder cannot be written, the clock jumps, a
second process starts in the same folder, the loss diverges. Results are compared with those of runs
without faults. Writes DIR/faults.{json,md}: a table of faults, counts and outcomes. Exits with
status 1 if a result was lost or differs. `tests/slow/test_faults.py` tries one fault of each kind.
"""

import argparse
import collections
import contextlib
import dataclasses
import glob
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from PIL import Image

from tests.helpers import small_runs as runs
from tf_mdsm.system.atomic import write_json, write_text

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# Exit statuses that are right after each signal: the system's default action, or an orderly stop.
ENDINGS = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {-signal.SIGTERM, 0},
    signal.SIGINT: {-signal.SIGINT, 130},
}
# During these first seconds Python itself starts, and may print a traceback for a signal.
_STARTING_SECONDS = 1.5

# The outcome after which nothing is lost, and the beginnings of all such outcomes.
_SAME_RESULT = "the same result as without the fault"
_GOOD_OUTCOMES = ("the same result", "refused", "reported", "returned to", "not tried")

# For each kind of fault, how often each outcome was seen.
Table = dict[str, collections.Counter]


@dataclasses.dataclass(frozen=True)
class Job:
    """A mode of the program, run in a run's folder.

    Args:
        name: name of the mode.
        arguments: arguments of the command line, without the folder.
        result: function from a folder, after the job, to the arrays that are compared.
        needs_a_run: whether the folder must hold a trained run.
    """

    name: str
    arguments: list[str]
    result: Callable[[pathlib.Path], object]
    needs_a_run: bool = True

    def command_line(self, workdir: pathlib.Path) -> list[str]:
        """Returns all arguments of the command line."""
        return [*self.arguments, f"--workdir={workdir}"]

    def run(self, workdir: pathlib.Path) -> subprocess.CompletedProcess:
        """Runs the job in a process and waits for its end."""
        return runs.call_process(*self.command_line(workdir))


def training_result(workdir: pathlib.Path) -> dict:
    """Returns the final weights and all logged losses."""
    losses = {f"loss {step}": np.float64(loss) for step, loss in runs.events(workdir, "loss")}
    return runs.final_weights(workdir) | losses


def sampling_result(workdir: pathlib.Path) -> dict:
    """Returns all arrays of the file of samples."""
    (path,) = glob.glob(str(workdir / "samples" / "*.npz"))
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def evaluation_result(workdir: pathlib.Path) -> dict:
    """Returns the content of metrics.json."""
    return {"metrics": json.loads((workdir / "evaluation" / "metrics.json").read_text())}


def export_result(workdir: pathlib.Path) -> dict:
    """Returns the weights of the newest exported version."""
    versions = [name for name in os.listdir(workdir / "export") if name.isdigit()]
    reader = tf.train.load_checkpoint(
        str(workdir / "export" / max(versions, key=int) / "variables" / "variables")
    )
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith("_CHECKPOINTABLE")]
    return {name: reader.get_tensor(name) for name in names}


JOBS = {
    "train": Job(
        "train",
        runs.flags(training__num_steps=400, training__steps_per_call=1),
        training_result,
        needs_a_run=False,
    ),
    "sample": Job(
        "sample", ["--mode=sample", "--config.sampling.num_samples=2000"], sampling_result
    ),
    "evaluate": Job(
        "evaluate",
        [
            *("--mode=evaluate", "--config.evaluation.num_samples=1000"),
            *("--config.evaluation.num_images=64", "--config.evaluation.features=none"),
            "--config.evaluation.parts=memorisation,energies,outliers,denoising",
        ],
        evaluation_result,
    ),
    "export": Job("export", ["--mode=export"], export_result),
}


def first_difference(result: dict, expected: dict) -> str | None:
    """Returns a description of the first difference between two results; None if they are equal."""
    if result.keys() != expected.keys():
        return f"{sorted(result.keys() ^ expected.keys())[:3]} are only in one of them"
    for name, value in result.items():
        if not np.array_equal(value, expected[name]):
            return f"{name} differs"
    return None


class Faults:
    """Injects faults into runs, and keeps a table of their outcomes.

    Args:
        folder: folder for all runs.
        seed: seed of the random moments and places.

    Attributes:
        table: outcomes by kind of fault, with their counts.
    """

    def __init__(self, folder: pathlib.Path, seed: int):
        self.folder, self.table = folder, collections.defaultdict(collections.Counter)
        self.random = random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        self._references: dict[str, tuple[dict, float]] = {}

    def note(self, kind: str, outcome: str, count: int = 1) -> None:
        """Adds an outcome to the table."""
        self.table[kind][outcome] += count

    def run_folder(self, name: str, job: Job) -> pathlib.Path:
        """Creates a new folder for a job, with a trained run in it if the job needs one."""
        workdir = self.folder / name
        shutil.rmtree(workdir, ignore_errors=True)
        if job.needs_a_run:
            self.reference("train")
            shutil.copytree(self.folder / "reference-train", workdir)
        return workdir

    def reference(self, name: str) -> tuple[dict, float]:
        """Returns the result of a job without faults, and the seconds that the job took."""
        if name not in self._references:
            job = JOBS[name]
            workdir = self.run_folder(f"reference-{name}", job)
            begin = time.monotonic()
            done = job.run(workdir)
            assert done.returncode == 0, done.stderr
            self._references[name] = job.result(workdir), time.monotonic() - begin
        return self._references[name]

    def signals(self, name: str, count: int) -> None:
        """Sends `count` signals to a job at random moments; restarts it until it finishes."""
        job = JOBS[name]
        expected, seconds = self.reference(name)
        done = 0
        while done < count:
            workdir = self.run_folder(f"hit-{name}", job)
            sent: list[signal.Signals] = []
            finished = False
            while not finished:
                kind = SIGNALS[(done + len(sent)) % len(SIGNALS)]
                moment = self.random.uniform(0.1, 1.1 * seconds)
                # After 12 signals in one folder, or enough in all, the job runs to its end.
                if done + len(sent) >= count or len(sent) >= 12:
                    kind = None
                finished = self._finishes_before_signal(job, workdir, kind, moment)
                if not finished:
                    sent.append(kind)
            difference = first_difference(job.result(workdir), expected)
            for kind in sent:
                self.note(f"{kind.name} in {name}", difference or _SAME_RESULT)
            done += max(1, len(sent))

    def _finishes_before_signal(
        self, job: Job, workdir: pathlib.Path, kind: signal.Signals | None, moment: float
    ) -> bool:
        """Starts a job, and sends it a signal if it still runs after `moment` seconds.

        With None as the signal, waits for the job's end. Notes a wrong exit status.
        """
        with runs.started(*job.command_line(workdir)) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment if kind else 600)
            still_runs = process.poll() is None
            if still_runs:
                process.send_signal(kind)
            process.wait(120)
            stderr = process.stderr.read()
        if not still_runs:
            if process.returncode:
                self.note(f"{job.name}, started again", stderr[-300:])
            return True
        # Status 0 is right as well: the job may have been at its end.
        if process.returncode not in ENDINGS[kind] | {0}:
            self.note(f"{kind.name} in {job.name}", f"status {process.returncode}")
        if "Traceback" in stderr and moment > _STARTING_SECONDS:
            self.note(f"{kind.name} in {job.name}", "a traceback was shown")
        return False

    def damaged_checkpoint(self, count: int) -> None:
        """Truncates the newest checkpoint or flips one of its bits; training is started again."""
        expected, _ = self.reference("train")
        job = JOBS["train"]
        for number in range(count):
            workdir = self.folder / "damaged"
            shutil.rmtree(workdir, ignore_errors=True)
            shutil.copytree(self.folder / "reference-train", workdir)
            newest = max(
                workdir.glob("checkpoints/step-*.index"), key=lambda p: int(p.stem.split("-")[1])
            )
            step = int(newest.stem.split("-")[1])
            path = self.random.choice(sorted(newest.parent.glob(f"{newest.stem}.*")))
            content = bytearray(path.read_bytes())
            position = self.random.randrange(len(content))
            kind = "a checkpoint is truncated" if number % 2 else "a bit of a checkpoint is flipped"
            if number % 2:
                content = content[:position]
            else:
                content[position] ^= 1 << self.random.randrange(8)
            path.write_bytes(content)
            done = job.run(workdir)
            is_reported = "is used" in done.stderr and f"step-{step}" in done.stderr
            if done.returncode or not is_reported:
                self.note(kind, f"status {done.returncode}: {done.stderr[-300:]}")
                continue
            difference = first_difference(job.result(workdir), expected)
            outcome = "reported; the previous checkpoint is used, with the same result"
            self.note(kind, difference or outcome)

    def full_disk(self, count: int) -> None:
        """Fills up a small file system while a run writes to it; then makes space and restarts."""
        expected, _ = self.reference("train")
        job, reference = JOBS["train"], self.folder / "reference-train"
        for _ in range(count):
            kind, kilobytes = "the disk is full", 4_096
            with small_disk(self.folder / "disk", kilobytes) as disk:
                if disk is None:
                    self.note(kind, "not tried: no file system can be mounted")
                    return
                # Space for a part of the run, so that it ends in the middle.
                space = int(self.random.uniform(0.2, 0.8) * size_on_disk(reference))
                filler = disk / "filler"
                filler.write_bytes(bytes(1_024 * kilobytes - space))
                workdir = disk / "run"
                done = job.run(workdir)
                if done.returncode not in (1, 2) or "Traceback" in done.stderr:
                    self.note(kind, f"status {done.returncode}: {done.stderr[-300:]}")
                    continue
                filler.unlink()
                again = job.run(workdir)
                if again.returncode:
                    self.note(kind, f"afterwards: {again.stderr[-300:]}")
                    continue
                difference = first_difference(job.result(workdir), expected)
                self.note(kind, difference or "reported; with free space again the same result")

    def read_only(self) -> None:
        """Starts a run on a read-only file system."""
        kind = "the folder cannot be written"
        with small_disk(self.folder / "disk", kilobytes=64, options="ro") as disk:
            if disk is None:
                self.note(kind, "not tried: no file system can be mounted")
                return
            done = JOBS["train"].run(disk / "run")
            refused = done.returncode == 2 and "must be writable" in done.stderr
            one_line = len(done.stderr.splitlines()) == 1
            outcome = "refused in one line" if refused and one_line else done.stderr[-300:]
            self.note(kind, outcome)

    def jumping_clock(self) -> None:
        """Trains while the clock returns another random time at every call."""
        expected, _ = self.reference("train")
        workdir = self.run_folder("clock", JOBS["train"])
        code = (
            "import random, runpy, sys, time; real = time.time;"
            "time.time = lambda: real() + random.uniform(-1e6, 1e6);"
            "sys.argv[0] = 'main'; runpy.run_module('tf_mdsm.main', run_name='__main__')"
        )
        command = [sys.executable, "-c", code, *JOBS["train"].command_line(workdir)]
        done = subprocess.run(command, cwd=runs.ROOT, env=runs.environment(), capture_output=True)
        difference = done.stderr.decode()[-300:] if done.returncode else None
        difference = difference or first_difference(JOBS["train"].result(workdir), expected)
        self.note("the clock jumps", difference or _SAME_RESULT)

    def two_processes(self, count: int) -> None:
        """Starts a second process in a folder in which one trains."""
        expected, _ = self.reference("train")
        job = JOBS["train"]
        for _ in range(count):
            workdir = self.run_folder("twice", job)
            with runs.started(*job.command_line(workdir)) as first:
                lock = workdir / "checkpoints" / "lock"
                runs.wait_for(lambda lock=lock: lock.exists() and lock.read_text(), first)
                # Stopped, so that it cannot finish before the second one asks.
                first.send_signal(signal.SIGSTOP)
                second = job.run(workdir)
                first.send_signal(signal.SIGCONT)
                still_there = first.poll() is None
                first.wait(300)
            named = f"process {first.pid} on" in second.stderr
            outcome = first_difference(job.result(workdir), expected)
            if second.returncode != 2 or not named or not still_there:
                outcome = f"status {second.returncode}: {second.stderr[-300:]}"
            good = "refused, naming the first, which finishes with the same result"
            self.note("a second process", outcome or good)

    def damaged_image(self, count: int) -> None:
        """Truncates an image of a folder, or changes a byte of its pixels; trains on the folder."""
        folder = self.folder / "images"
        folder.mkdir(exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
        for number, image in enumerate(pixels):
            Image.fromarray(image).save(folder / f"{number:02d}.png")
        arguments = runs.flags(
            data__source="folder",
            data__path=folder,
            training__num_steps=5,
            training__validation_images=8,
        )
        for number in range(count):
            path = folder / f"{self.random.randrange(10, 30):02d}.png"
            original = path.read_bytes()
            position = self.random.randrange(original.index(b"IDAT") + 4, len(original) - 16)
            changed = bytes([original[position] ^ 0xFF]) + original[position + 1 :]
            path.write_bytes(original[:position] + (b"" if number % 2 else changed))
            kind = "an image in a folder is damaged"
            for skips_damaged in (False, True):
                workdir = self.folder / "of_images"
                shutil.rmtree(workdir, ignore_errors=True)
                skip = f"--config.data.skip_damaged={skips_damaged}"
                done = runs.call(*arguments, skip, f"--workdir={workdir}")
                trains = done.returncode == 0 and runs.latest_step(workdir) == 5
                refused = done.returncode == 2 and len(done.stderr.splitlines()) == 1
                if path.name not in done.stderr or not (trains if skips_damaged else refused):
                    self.note(kind, f"status {done.returncode}: {done.stderr[-300:]}")
                    break
            else:
                self.note(kind, "reported with its name; refused or skipped, as configured")
            path.write_bytes(original)

    def non_finite_loss(self) -> None:
        """Trains with a learning rate at which the loss diverges, and with rollbacks."""
        workdir = self.folder / "diverged"
        rollbacks = workdir / "checkpoints" / "rollbacks.json"
        # How far the weights run depends on the processor: at 3 the loss may stay finite, at 10 a
        # checkpoint may be kept from which no rate continues.
        for learning_rate in (3.0, 10.0):
            shutil.rmtree(workdir, ignore_errors=True)
            arguments = runs.flags(
                optimizer__learning_rate=learning_rate,
                training__num_steps=100,
                training__max_rollbacks=12,
                training__rollback_rate=0.1,
            )
            done = runs.call(*arguments, f"--workdir={workdir}")
            if rollbacks.exists():
                break
        kind = "the loss is not finite"
        if done.returncode:
            self.note(kind, f"status {done.returncode}: {done.stderr[-300:]}")
            return
        count = len(json.loads(rollbacks.read_text()))
        finite = all(np.isfinite(v).all() for v in runs.final_weights(workdir).values())
        outcome = "returned to the last checkpoint, finished at a lower learning rate"
        self.note(kind, outcome if finite else "weights that are not finite", count)


def size_on_disk(folder: pathlib.Path) -> int:
    """Returns the bytes that a folder's files take on a disk with pages of 4 KiB."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return sum(-(-size // 4_096) * 4_096 for size in sizes)


@contextlib.contextmanager
def small_disk(
    folder: pathlib.Path, kilobytes: int, options: str = "rw"
) -> Iterator[pathlib.Path | None]:
    """Mounts a file system in memory; yields None where this process may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,{options}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def failures(table: Table) -> list[str]:
    """Returns the faults after which a result was lost or differed, each with its outcome."""
    return [
        f"{kind}: {outcome}"
        for kind, outcomes in table.items()
        for outcome in outcomes
        if not outcome.startswith(_GOOD_OUTCOMES)
    ]


def markdown(table: Table) -> str:
    """Returns the table of outcomes in Markdown."""
    lines = ["| fault | count | outcome |", "| --- | --- | --- |"]
    for kind, outcomes in table.items():
        lines += [f"| {kind} | {count} | {outcome} |" for outcome, count in outcomes.items()]
    total = sum(sum(outcomes.values()) for outcomes in table.values())
    return "\n".join([*lines, f"| all | {total} | {len(failures(table))} lost or corrupted |", ""])


def main(argv: list[str]) -> int:
    """Injects faults and writes the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.slow.faults")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    options = parser.parse_args(argv[1:])
    faults, count = Faults(options.output.resolve(), options.seed), options.count
    kinds: dict[str, Callable[[], None]] = {
        "train": lambda: faults.signals("train", count // 4),
        "sample": lambda: faults.signals("sample", count // 6),
        "evaluate": lambda: faults.signals("evaluate", count // 6),
        "export": lambda: faults.signals("export", count // 8),
        "damage": lambda: faults.damaged_checkpoint(count // 8),
        "full_disk": lambda: faults.full_disk(max(1, count // 40)),
        "read_only": faults.read_only,
        "clock": faults.jumping_clock,
        "two_processes": lambda: faults.two_processes(max(1, count // 60)),
        "damaged_image": lambda: faults.damaged_image(max(2, count // 20)),
        "non_finite_loss": faults.non_finite_loss,
    }
    for name in options.only.split(",") if options.only else kinds:
        kinds[name]()
        print(markdown(faults.table), flush=True)
    stem = str(options.output / "faults")
    write_json(faults.table, f"{stem}.json")
    write_text(markdown(faults.table), f"{stem}.md")
    return 1 if failures(faults.table) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
