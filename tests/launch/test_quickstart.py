"""`launch/quickstart.sh`: what it starts, and signals, with an interpreter that only records."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.helpers.script_project import TRAINING, programs, script_project, start, training_of
from tests.helpers.small_runs import ROOT

TRAIN = "-m tf_mdsm.main --config=configs/digits.py --workdir=runs/digits"
SAMPLE = "-m tf_mdsm.main --config=configs/digits.py --mode=sample"


@pytest.fixture
def project(tmp_path):
    """A copy of the script in a project whose environment is ready."""
    return script_project(tmp_path, "quickstart.sh", TRAINING)


def stopped(project, send: Callable[[int, int], None]) -> tuple[int, str]:
    """Exit status and errors of the script; `send` gets the script's process and the training's."""
    with start(project, "quickstart.sh", WAIT="1") as script:
        training = training_of(script)
        try:
            send(script.pid, training)
            _, errors = script.communicate(timeout=60)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(training, 0)
        pytest.fail("the training is still there")
    return script.returncode, errors


def saved(project) -> str:
    return (project / "runs" / "digits" / "checkpoints" / "checkpoint").read_text()


def test_it_trains_and_samples(project):
    with start(project, "quickstart.sh") as script:
        output, _ = script.communicate(timeout=60)
    assert script.returncode == 0
    assert "runs/digits/samples/" in output
    assert programs(project) == [TRAIN, SAMPLE]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_to_the_script_stops_the_training(project, name):
    """It saves first; the script waits for it."""
    number = signal.Signals[name]
    status, _ = stopped(project, lambda script, training: os.kill(script, number))
    assert status == 128 + number
    assert "step-10" in saved(project)
    assert programs(project) == [TRAIN]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGINT"])
def test_a_signal_to_both_stops_the_training_once(project, name):
    """Ctrl-C in a terminal, for one; a second SIGTERM would end the training before it saves."""
    number = signal.Signals[name]
    status, _ = stopped(project, lambda script, training: os.killpg(script, number))
    assert status == 128 + number
    assert "step-10" in saved(project)
    assert programs(project) == [TRAIN]


def test_a_training_that_is_stopped_alone_is_not_sampled(project):
    """Its exit status is 0, as it has saved."""
    status, errors = stopped(project, lambda script, training: os.kill(training, signal.SIGTERM))
    assert status == 1
    assert "runs/digits is trained up to step 10 of 20: give the same command again" in errors
    assert programs(project) == [TRAIN]


def test_a_training_that_fails_ends_the_script(project):
    interpreter = project / ".venv" / "bin" / "python"
    interpreter.write_text('#!/bin/bash\nprintf "%s\\n" "$*" >> "$LOG"\n[ "$2" != tf_mdsm.main ]')
    with start(project, "quickstart.sh") as script:
        assert script.wait(60) == 1
    assert programs(project) == [TRAIN]


@pytest.mark.parametrize("num_steps", [1_200, 1_201])
def test_a_run_is_asked_for_its_step(project, num_steps):
    """As the program writes its files; the run of examples/ has 1,200 steps."""
    run = shutil.copytree(ROOT / "examples" / "digits", project / "run")
    config = (run / "config.json").read_text()
    changed = config.replace('"num_steps": 1200', f'"num_steps": {num_steps}')
    (run / "config.json").write_text(changed)
    done = subprocess.run(
        ["bash", "-c", "source launch/environment.sh; require_last_step run; echo goes on"],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "LOG": str(project / "log"), "PYTHON": "true"},
        capture_output=True,
        text=True,
    )
    is_trained = num_steps == 1_200
    assert done.returncode == (0 if is_trained else 1)
    assert ("goes on" in done.stdout) == is_trained
    expected = "run is trained up to step 1200 of 1201: give the same command again to continue\n"
    assert done.stderr == ("" if is_trained else expected)
