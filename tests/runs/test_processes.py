"""The program in processes of its own: trained, stopped by SIGTERM, finished, sampled."""

import pathlib
import signal

import pytest

from tests.helpers import small_runs as runs


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that got SIGTERM after its first checkpoint: folder, exit status, messages."""
    folder = tmp_path_factory.mktemp("stopped")
    arguments = runs.flags(
        training__num_steps=400, training__steps_per_call=1, training__checkpoint_every=5
    )
    with runs.started(*arguments, f"--workdir={folder}") as process:
        runs.wait_for(lambda: runs.latest_step(folder), process)
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=120)
        messages = process.stderr.read()
    return folder, status, messages, runs.latest_step(folder)


@pytest.fixture(scope="module")
def finished(stopped):
    """The same run, started again."""
    return runs.call_process(f"--workdir={stopped[0]}")


@pytest.fixture(scope="module")
def sampled(stopped, finished):
    """Samples of it."""
    return runs.call_process(f"--workdir={stopped[0]}", "--mode=sample")


def test_sigterm_saves_a_checkpoint_and_ends_the_run(stopped):
    _, status, messages, step = stopped
    assert status == 0, messages
    assert "SIGTERM: saving, then stopping" in messages
    assert f"step {step}: stopped; run again to continue" in messages
    assert 5 <= step < 400


def test_a_stopped_run_is_finished_by_its_folder_alone(stopped, finished):
    folder, _, _, step = stopped
    assert finished.returncode == 0, finished.stderr
    assert f"from step {step} to 400" in finished.stderr
    assert len(finished.stderr.splitlines()) == 2, finished.stderr
    assert runs.latest_step(folder) == 400


def test_sampling_prints_the_files_that_it_writes(sampled):
    assert sampled.returncode == 0, sampled.stderr
    paths = sampled.stdout.split()
    assert len(paths) == 5
    assert all(pathlib.Path(path).is_file() for path in paths)
