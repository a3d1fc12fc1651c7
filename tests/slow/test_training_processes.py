"""Training in real processes: signals, kills, and the end of a program."""

import random
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import small_runs as runs
from tf_mdsm.runs.train import train

# So many steps that a signal comes before the end.
LONG = {"training__num_steps": 200, "training__steps_per_call": 1}


def assert_same_run(workdir, uninterrupted) -> None:
    runs.assert_same_weights(runs.final_weights(uninterrupted), runs.final_weights(workdir))
    assert runs.events(uninterrupted, "loss") == runs.events(workdir, "loss")


def test_a_signal_cancels_the_preview(tmp_path):
    """A preview of ten million sampling steps does not delay the end; the loss is logged."""
    changes = {"training__sample_every": 4, "sampling__cooling_steps": 10_000_000}
    arguments = runs.flags(training__steps_per_call=1, **changes)
    with runs.started(*arguments, f"--workdir={tmp_path}") as process:
        time.sleep(5)
        runs.wait_for(lambda: runs.events(tmp_path, "loss"), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert runs.latest_step(tmp_path) == 4
    assert [step for step, _ in runs.events(tmp_path, "loss")] == [4]


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """An uninterrupted run of 200 steps."""
    workdir = tmp_path_factory.mktemp("long")
    train(runs.small_config(**LONG), str(workdir))
    return workdir


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_saves_a_checkpoint_and_ends_the_run(long_run, tmp_path, number):
    with runs.started(*runs.flags(**LONG), f"--workdir={tmp_path}") as process:
        runs.wait_for(lambda: runs.latest_step(tmp_path), process)
        process.send_signal(number)
        assert process.wait(timeout=60) == (130 if number == signal.SIGINT else 0)
        message = process.stderr.read()
    assert signal.Signals(number).name in message
    assert 0 < runs.latest_step(tmp_path) < 200
    train(runs.small_config(**LONG), str(tmp_path))
    assert_same_run(tmp_path, long_run)


def test_a_run_killed_at_random_moments_ends_as_the_uninterrupted_one(whole, tmp_path, request):
    """`kill -9` several times, every other time while a checkpoint is being written."""
    kills = request.config.getoption("--kills")
    generator = random.Random(kills)
    arguments = [
        *runs.flags(training__steps_per_call=1, training__checkpoint_every=1),
        f"--workdir={tmp_path}",
    ]
    checkpoints = tmp_path / "checkpoints"

    def step() -> int:
        return runs.latest_step(tmp_path) or 0

    for kill in range(kills):
        before = step()
        target = before + generator.randint(1, max(1, 36 // kills))
        with runs.started(*arguments) as process:
            runs.wait_for(lambda target=target: step() >= target, process)
            if kill % 2:
                # Wait for the first file of the next checkpoint.
                next_files = f"step-{target + 1}*"
                runs.wait_for(lambda name=next_files: any(checkpoints.glob(name)), process)
            process.kill()
            process.wait()
        assert step() >= before
    assert 0 < step() < 40
    train(runs.small_config(training__steps_per_call=1), str(tmp_path))
    assert_same_run(tmp_path, whole)


UNFINISHED = """
import numpy as np
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.patches import Patches
patches = Patches([np.zeros((300, 300, 3), np.uint8)] * 4, 128)
batches = iter(training_batches(patches, batch_size=256, seed=0, flip=True))
for _ in range(3):
    next(batches)
"""


def test_a_program_ends_while_batches_are_made():
    """Most tries never ended before it waited for them."""
    for _ in range(3):
        subprocess.run(
            [sys.executable, "-c", UNFINISHED],
            cwd=runs.ROOT,
            env=runs.environment(),
            check=True,
            timeout=120,
        )
