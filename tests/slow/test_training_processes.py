"""Training in real processes: signals, kills, a full disk."""

import pathlib
import random
import resource
import signal
import time

import pytest

from tests.helpers import small_runs as runs
from tf_mdsm.runs.train import train


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint_and_ends_the_run(whole, tmp_path, number):
    arguments = runs.flags(training__num_steps=40, training__steps_per_call=1)
    with runs.started(*arguments, f"--workdir={tmp_path}") as process:
        runs.wait_for(lambda: runs.latest_step(tmp_path), process)
        process.send_signal(number)
        assert process.wait(timeout=60) == (130 if number == signal.SIGINT else 0)
        message = process.stderr.read()
    assert signal.Signals(number).name in message
    train(runs.small_config(training__steps_per_call=1), str(tmp_path))
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(tmp_path))
    assert runs.events(whole, "loss") == runs.events(tmp_path, "loss")


def test_a_run_killed_at_random_moments_ends_as_the_uninterrupted_one(whole, tmp_path, request):
    """`kill -9` several times, every other time while a checkpoint is being written."""
    kills = request.config.getoption("--kills")
    generator = random.Random(kills)
    arguments = [
        *runs.flags(training__steps_per_call=1, training__checkpoint_every=1),
        f"--workdir={tmp_path}",
    ]
    checkpoints = pathlib.Path(tmp_path) / "checkpoints"

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
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(tmp_path))
    assert runs.events(whole, "loss") == runs.events(tmp_path, "loss")


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(tmp_path):
    """A limit on the size of files has the effect of a full disk on whoever writes."""
    train(runs.small_config(), str(tmp_path))
    before = runs.final_weights(tmp_path)
    (tmp_path / "config.json").write_text(
        (tmp_path / "config.json").read_text().replace('"num_steps": 40', '"num_steps": 60')
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))

    result = runs.call_process(f"--workdir={tmp_path}", preexec_fn=limit)
    assert result.returncode == 1
    assert "the checkpoint could not be written" in result.stderr.splitlines()[-1]
    assert runs.latest_step(tmp_path) == 40
    runs.assert_same_weights(before, runs.final_weights(tmp_path))
