"""What goes wrong while the program runs, on purpose, and what is left then.

    python tests/faults.py --output=runs/faults [--count=120] [--seed=0] [--only=train,export,…]

Small runs of every kind are killed, stopped and interrupted at random moments, over and over, until
they are through; their checkpoints are cut and their bits turned; the disk is full, the folder
cannot be written, the clock jumps, another process is there. Results are compared with those of
runs that nothing happened to. Writes DIR/faults.{json,md}: fault, how often, what came of it. Ends
with status 1 if anything was lost. `tests/test_faults.py` takes a few of each.
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
import small_runs as runs
import tensorflow as tf
from PIL import Image

from tf_mdsm.system.atomic import atomic_write

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# How a process may end that got one: of the system's own action, or in good order.
ENDINGS = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {-signal.SIGTERM, 0},
    signal.SIGINT: {-signal.SIGINT, 130},
}
# Until then Python itself is starting, and what it says of a signal is not ours.
_STARTING_SECONDS = 1.5

# A fault's kind to its outcomes, each counted.
Table = dict[str, collections.Counter]


@dataclasses.dataclass(frozen=True)
class Job:
    """Something the program does in a run's folder.

    Args:
        name: of it.
        arguments: of the command line, but for the folder.
        result: of a folder in which it is done, for comparison.
        needs: whether it takes a trained run.
    """

    name: str
    arguments: list[str]
    result: Callable[[pathlib.Path], object]
    needs_a_run: bool = True

    def typed(self, workdir: pathlib.Path) -> list[str]:
        """What stands on the command line."""
        return [*self.arguments, f"--workdir={workdir}"]

    def run(self, workdir: pathlib.Path) -> subprocess.CompletedProcess:
        """Does it, to its end."""
        return runs.call(*self.typed(workdir))


def trained(workdir: pathlib.Path) -> dict:
    losses = {f"loss {step}": np.float64(loss) for step, loss in runs.events(workdir, "loss")}
    return runs.final_weights(workdir) | losses


def drawn(workdir: pathlib.Path) -> dict:
    (path,) = glob.glob(str(workdir / "samples" / "*.npz"))
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def evaluated(workdir: pathlib.Path) -> dict:
    return {"metrics": json.loads((workdir / "evaluation" / "metrics.json").read_text())}


def exported(workdir: pathlib.Path) -> dict:
    """The weights of the newest version."""
    versions = [name for name in os.listdir(workdir / "export") if name.isdigit()]
    reader = tf.train.load_checkpoint(
        str(workdir / "export" / max(versions, key=int) / "variables" / "variables")
    )
    names = [n for n in reader.get_variable_to_shape_map() if not n.startswith("_CHECKPOINTABLE")]
    return {name: reader.get_tensor(name) for name in names}


JOBS = {
    "train": Job(
        "train",
        runs.flags(training__num_steps=200, training__steps_per_call=1),
        trained,
        needs_a_run=False,
    ),
    "sample": Job("sample", ["--mode=sample", "--config.sampling.num_samples=400"], drawn),
    "evaluate": Job(
        "evaluate",
        [
            *("--mode=evaluate", "--config.evaluation.num_samples=200"),
            *("--config.evaluation.num_images=64", "--config.evaluation.features=none"),
            "--config.evaluation.parts=memorisation,energies,outliers,denoising",
        ],
        evaluated,
    ),
    "export": Job("export", ["--mode=export"], exported),
}


def differ(ours: dict, theirs: dict) -> str | None:
    """The first thing that is not the same."""
    if ours.keys() != theirs.keys():
        return f"{sorted(ours.keys() ^ theirs.keys())[:3]} are only in one of them"
    for name, value in ours.items():
        if not np.array_equal(value, theirs[name]):
            return f"{name} differs"
    return None


class Faults:
    """All faults on folders below `folder`, and a table of what came of them."""

    def __init__(self, folder: pathlib.Path, seed: int):
        self.folder, self.table = folder, collections.defaultdict(collections.Counter)
        self.random = random.Random(seed)
        folder.mkdir(parents=True, exist_ok=True)
        self._references: dict[str, tuple[dict, float]] = {}

    def note(self, kind: str, outcome: str, count: int = 1) -> None:
        self.table[kind][outcome] += count

    def run_folder(self, name: str, job: Job) -> pathlib.Path:
        """A new folder; with a trained run in it, if the job takes one."""
        workdir = self.folder / name
        shutil.rmtree(workdir, ignore_errors=True)
        if job.needs_a_run:
            self.reference("train")
            shutil.copytree(self.folder / "whole-train", workdir)
        return workdir

    def reference(self, name: str) -> tuple[dict, float]:
        """A job's result without faults, and the seconds that it took."""
        if name not in self._references:
            job = JOBS[name]
            workdir = self.run_folder(f"whole-{name}", job)
            begin = time.monotonic()
            done = job.run(workdir)
            assert done.returncode == 0, done.stderr
            self._references[name] = job.result(workdir), time.monotonic() - begin
        return self._references[name]

    def signals(self, name: str, count: int) -> None:
        """Signals at random moments of a job, which is started again until it is through."""
        job = JOBS[name]
        expected, seconds = self.reference(name)
        done = 0
        while done < count:
            workdir = self.run_folder(f"hit-{name}", job)
            kinds = []
            finished = False
            while not finished:
                kind = SIGNALS[(done + len(kinds)) % len(SIGNALS)]
                moment = self.random.uniform(0.1, 1.1 * seconds)
                # Enough of them on one folder: what is left is done in peace.
                spared = done + len(kinds) >= count or len(kinds) >= 12
                finished = self._hit(job, workdir, None if spared else kind, moment, kinds)
            difference = differ(job.result(workdir), expected)
            for kind in kinds:
                outcome = difference or "result as of a run without it"
                self.note(f"{kind.name} in {name}", outcome)
            done += max(1, len(kinds))

    def _hit(self, job, workdir, kind, moment: float, kinds: list) -> bool:
        """Starts the job and sends it a signal, if it still runs then; whether it came to its
        end."""
        with runs.started(*job.typed(workdir)) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moment if kind else 600)
            hit = process.poll() is None
            if hit:
                process.send_signal(kind)
            process.wait(120)
            stderr = process.stderr.read()
        if not hit:
            if process.returncode:
                self.note(f"{job.name}, started again", stderr[-300:])
            return True
        kinds.append(kind)
        # Also 0: it was at its end.
        if process.returncode not in ENDINGS[kind] | {0}:
            self.note(f"{kind.name} in {job.name}", f"status {process.returncode}")
        if "Traceback" in stderr and moment > _STARTING_SECONDS:
            self.note(f"{kind.name} in {job.name}", "a traceback was shown")
        return False

    def damage(self, count: int) -> None:
        """The newest checkpoint cut or with a bit turned, at random places; training goes on."""
        expected, _ = self.reference("train")
        job = JOBS["train"]
        for number in range(count):
            workdir = self.folder / "damaged"
            shutil.rmtree(workdir, ignore_errors=True)
            shutil.copytree(self.folder / "whole-train", workdir)
            newest = max(
                workdir.glob("checkpoints/step-*.index"), key=lambda p: int(p.stem.split("-")[1])
            )
            step = int(newest.stem.split("-")[1])
            path = self.random.choice(sorted(newest.parent.glob(f"{newest.stem}.*")))
            content = bytearray(path.read_bytes())
            place = self.random.randrange(len(content))
            kind = "a checkpoint cut short" if number % 2 else "a bit of a checkpoint turned"
            if number % 2:
                content = content[:place]
            else:
                content[place] ^= 1 << self.random.randrange(8)
            path.write_bytes(content)
            done = job.run(workdir)
            said = "is used" in done.stderr and f"step-{step}" in done.stderr
            if done.returncode or not said:
                self.note(kind, f"status {done.returncode}: {done.stderr[-300:]}")
                continue
            difference = differ(job.result(workdir), expected)
            self.note(kind, difference or "said, the one before taken, result as without it")

    def full_disk(self, count: int) -> None:
        """A small file system of its own fills up; with room again the run goes on."""
        expected, _ = self.reference("train")
        job = JOBS["train"]
        for _ in range(count):
            kind = "the disk is full"
            with small_disk(self.folder / "disk", kilobytes=1_024) as disk:
                if disk is None:
                    self.note(kind, "not tried: no file system can be mounted")
                    return
                filler = disk / "filler"
                filler.write_bytes(bytes(1_024 * self.random.randrange(880, 1_000)))
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
                difference = differ(job.result(workdir), expected)
                self.note(kind, difference or "said; with room again, result as without it")

    def read_only(self) -> None:
        """A folder on a file system that nothing may be written to."""
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
        """Every look at the clock tells another day."""
        expected, _ = self.reference("train")
        workdir = self.run_folder("clock", JOBS["train"])
        code = (
            "import random, runpy, sys, time; real = time.time;"
            "time.time = lambda: real() + random.uniform(-1e6, 1e6);"
            "sys.argv[0] = 'main'; runpy.run_module('tf_mdsm.main', run_name='__main__')"
        )
        command = [sys.executable, "-c", code, *JOBS["train"].typed(workdir)]
        done = subprocess.run(command, cwd=runs.ROOT, env=runs.environment(), capture_output=True)
        difference = done.stderr.decode()[-300:] if done.returncode else None
        difference = difference or differ(JOBS["train"].result(workdir), expected)
        self.note("the clock jumps", difference or "result as without it")

    def two_processes(self, count: int) -> None:
        """A second process on a folder that is being trained in."""
        expected, _ = self.reference("train")
        job = JOBS["train"]
        for _ in range(count):
            workdir = self.run_folder("twice", job)
            with runs.started(*job.typed(workdir)) as first:
                lock = workdir / "checkpoints" / "lock"
                runs.wait_for(lambda lock=lock: lock.exists() and lock.read_text(), first)
                second = job.run(workdir)
                still_there = first.poll() is None
                first.wait(300)
            named = f"process {first.pid} on" in second.stderr
            outcome = differ(job.result(workdir), expected)
            if second.returncode != 2 or not named or not still_there:
                outcome = f"status {second.returncode}: {second.stderr[-300:]}"
            self.note("a second process", outcome or "refused, naming the first; that one's result")

    def damaged_image(self, count: int) -> None:
        """A picture in the middle of a folder, cut or with a byte of its pixels changed."""
        folder = self.folder / "pictures"
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
            whole = path.read_bytes()
            place = self.random.randrange(whole.index(b"IDAT") + 4, len(whole) - 16)
            changed = bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]
            path.write_bytes(whole[:place] + (b"" if number % 2 else changed))
            kind = "an image in a folder is damaged"
            for choice in (False, True):
                workdir = self.folder / "of_pictures"
                shutil.rmtree(workdir, ignore_errors=True)
                skip = f"--config.data.skip_damaged={choice}"
                done = runs.call(*arguments, skip, f"--workdir={workdir}")
                trains = done.returncode == 0 and runs.latest_step(workdir) == 5
                refused = done.returncode == 2 and len(done.stderr.splitlines()) == 1
                if path.name not in done.stderr or not (trains if choice else refused):
                    self.note(kind, f"status {done.returncode}: {done.stderr[-300:]}")
                    break
            else:
                self.note(kind, "said, naming it: refused, or left out, as configured")
            path.write_bytes(whole)

    def lost_loss(self) -> None:
        """A learning rate at which the loss is lost: back, and on at a lower one."""
        workdir = self.folder / "lost"
        shutil.rmtree(workdir, ignore_errors=True)
        arguments = runs.flags(
            optimizer__learning_rate=10.0,
            training__num_steps=100,
            training__max_rollbacks=12,
            training__rollback_rate=0.1,
        )
        done = runs.call(*arguments, f"--workdir={workdir}")
        kind = "the loss is not finite"
        if done.returncode:
            self.note(kind, f"status {done.returncode}: {done.stderr[-300:]}")
            return
        count = len(json.loads((workdir / "checkpoints" / "rollbacks.json").read_text()))
        finite = all(np.isfinite(v).all() for v in runs.final_weights(workdir).values())
        outcome = "back to the last checkpoint, on at a lower rate, finished"
        self.note(kind, outcome if finite else "weights that are not finite", count)


@contextlib.contextmanager
def small_disk(
    folder: pathlib.Path, kilobytes: int, options: str = "rw"
) -> Iterator[pathlib.Path | None]:
    """A file system in memory; None where this process may not mount one."""
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


# What a table may say without anything being lost.
_GOOD = ("result as", "refused", "said", "back to", "not tried")


def lost(table: Table) -> list[str]:
    """Faults that cost something, each with its outcome."""
    return [
        f"{kind}: {outcome}"
        for kind, outcomes in table.items()
        for outcome in outcomes
        if not outcome.startswith(_GOOD)
    ]


def markdown(table: Table) -> str:
    lines = ["| fault | count | outcome |", "| --- | --- | --- |"]
    for kind, outcomes in table.items():
        lines += [f"| {kind} | {count} | {outcome} |" for outcome, count in outcomes.items()]
    total = sum(sum(outcomes.values()) for outcomes in table.values())
    return "\n".join([*lines, f"| all | {total} | {len(lost(table))} lost or corrupted |", ""])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python tests/faults.py")
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
        "damage": lambda: faults.damage(count // 8),
        "full_disk": lambda: faults.full_disk(max(1, count // 40)),
        "read_only": faults.read_only,
        "clock": faults.jumping_clock,
        "two_processes": lambda: faults.two_processes(max(1, count // 60)),
        "damaged_image": lambda: faults.damaged_image(max(2, count // 20)),
        "lost_loss": faults.lost_loss,
    }
    for name in options.only.split(",") if options.only else kinds:
        kinds[name]()
        print(markdown(faults.table), flush=True)
    stem = str(options.output / "faults")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(faults.table, file, indent=2)
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(markdown(faults.table))
    return 1 if lost(faults.table) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
