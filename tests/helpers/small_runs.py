"""Small runs for tests: a recipe of seconds, the command line, and what a run leaves.

The network of `SMALL` is a toy that is traced in a fraction of a second. Tests of what a run does
use it; tests of what a network computes name another one.
"""

import contextlib
import dataclasses
import glob
import io
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from tf_mdsm import main as program
from tf_mdsm.config import default_config

ROOT = pathlib.Path(__file__).parents[2]

SMALL = {
    "data.source": "digits",
    "data.name": "",
    "data.image_size": 8,
    "data.channels": 1,
    "noise.num_levels": 16,
    "network.name": "dense",
    "network.channels": 8,
    "optimizer.learning_rate": 1e-3,
    "optimizer.ema_momentum": 0.9,
    "training.batch_size": 16,
    "training.num_steps": 40,
    "training.steps_per_call": 5,
    "training.checkpoint_every": 10,
    "training.log_every": 4,
    "training.validate_every": 0,
    "training.validation_images": 32,
    "training.sample_every": 0,
    "training.preview_images": 4,
    "sampling.sampler": "annealed_langevin",
    "sampling.start": "isotropic",
    "sampling.num_samples": 6,
    "sampling.batch_size": 4,
    "sampling.hot_steps": 2,
    "sampling.cooling_steps": 4,
    "sampling.final_steps": 2,
    "sampling.show_every": 3,
}


def small_config(**fields):
    """`SMALL` with changes: `training__num_steps=3` for `training.num_steps`."""
    config = default_config()
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    config.update_from_flattened_dict({**SMALL, **changes})
    return config


def flags(**fields) -> list[str]:
    """The same as command-line flags, over the recipe that keeps all defaults."""
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    return [f"--config={ROOT}/configs/cifar.py"] + [
        f"--config.{name}={value}" for name, value in {**SMALL, **changes}.items()
    ]


def environment(**extra: str) -> dict[str, str]:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    return {**os.environ, **quiet, **extra}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a call of the program answered: its exit status and its two streams."""

    returncode: int
    stdout: str
    stderr: str


def call(*arguments: object) -> Answer:
    """Calls the program in this process, as `python -m tf_mdsm.main` does in its own."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        status = program.main(["main.py", *map(str, arguments)])
    return Answer(status, stdout.getvalue(), stderr.getvalue())


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tf_mdsm.main", *map(str, arguments)]


def call_process(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Runs the program in a process of its own, which takes seconds to load, and waits."""
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        **options,
    )


def running_together(calls: list[list[str]]) -> list[Answer]:
    """Starts the program several times at once, in processes of their own, and waits for all."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(command(*arguments), cwd=ROOT, env=environment(), **pipes)
        for arguments in calls
    ]
    with ThreadPoolExecutor(len(processes)) as pool:
        streams = list(pool.map(lambda process: process.communicate(timeout=300), processes))
    return [
        Answer(process.returncode, *texts)
        for process, texts in zip(processes, streams, strict=True)
    ]


def started(*arguments: str):
    """The program, running; killed at the end if it still does."""
    return running(command(*arguments))


@contextlib.contextmanager
def running(arguments: list[str]):
    """A process; killed at the end if it still runs."""
    process = subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(condition, process: subprocess.Popen, seconds: float = 120) -> None:
    """Waits until a condition holds or the process ends."""
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.005)


def latest_step(workdir) -> int | None:
    path = tf.train.latest_checkpoint(os.path.join(workdir, "checkpoints"))
    return path and int(path.rsplit("-", 1)[1])


def final_weights(workdir) -> dict[str, np.ndarray]:
    """Every tensor of the newest checkpoint: weights, averages, optimizer, metrics."""
    reader = tf.train.load_checkpoint(os.path.join(workdir, "checkpoints"))
    names = [n for n in reader.get_variable_to_shape_map() if n != "_CHECKPOINTABLE_OBJECT_GRAPH"]
    # TensorFlow's own count of saves is not part of the run.
    return {name: reader.get_tensor(name) for name in names if not name.startswith("save_counter")}


def assert_same_weights(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def events(workdir, tag: str) -> list[tuple[int, float]]:
    """(step, value) of a scalar as they stand in the event files, in order of file and record."""
    found = []
    for path in sorted(glob.glob(os.path.join(workdir, "tensorboard", "*")), key=_numbers):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                if value.tag == tag:
                    found.append((event.step, float(tf.make_ndarray(value.tensor))))
    return found


def _numbers(path: str) -> list[int]:
    """The numbers in an event file's name: second, process and number of the file, 9 before 10."""
    return [int(number) for number in re.findall(r"\d+", os.path.basename(path))]


def tags(workdir) -> set[str]:
    found = set()
    for path in glob.glob(os.path.join(workdir, "tensorboard", "*")):
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found.update(value.tag for value in event.summary.value)
    return found


def saved_config(workdir) -> dict:
    return json.loads((pathlib.Path(workdir) / "config.json").read_text())
