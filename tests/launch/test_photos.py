"""`launch/photos.sh` and signals, with an interpreter that only records."""

import contextlib
import os
import signal
import subprocess

import pytest

from tests.helpers.script_project import script_project

# A training that waits for a signal, and then exits with 0; all else ends at once.
PYTHON = """#!/bin/bash
printf '%s\n' "$*" >> "$LOG"
if [[ "$*" == *--config=* && -n "${WAIT:-}" ]]; then
  trap 'exit 0' TERM HUP USR1
  echo waits
  while true; do sleep 0.05; done
fi
"""


@pytest.fixture
def project(tmp_path):
    """A copy of the script in a project whose environment is ready."""
    return script_project(tmp_path, "photos.sh", PYTHON)


def start(project, *arguments: str, **environment: str) -> subprocess.Popen:
    """The script, called from elsewhere, in a group of processes of its own."""
    return subprocess.Popen(
        ["bash", str(project / "launch" / "photos.sh"), *arguments],
        cwd=project.parent,
        env={"PATH": "/usr/bin:/bin", "LOG": str(project / "log"), "PYTHON": "true", **environment},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def programs(project) -> list[str]:
    """The calls of the program itself."""
    calls = (project / "log").read_text().splitlines()
    return [call for call in calls if call.startswith("-m tf_mdsm.main")]


def test_it_trains_and_restores(project):
    with start(project, "photos") as script:
        assert script.wait(60) == 0
    train, restore = programs(project)
    run = f"{project}/runs/photos"
    assert train == f"-m tf_mdsm.main --config=configs/photos.py --workdir={run}"
    images = f"--config.restoration.images={project.parent}/photos"
    assert restore.startswith(f"-m tf_mdsm.main --workdir={run} --mode=restore")
    assert {images, "--config.restoration.measured"} <= set(restore.split())


def test_the_model_of_a_run_is_not_trained(project):
    with start(project, "photos", "own", "--config.restoration.seed=1") as script:
        assert script.wait(60) == 0
    [restore] = programs(project)
    assert f"--workdir={project.parent}/own " in restore
    assert restore.endswith("--config.restoration.seed=1")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_training_that_is_stopped_restores_nothing(project, name):
    """Its exit status is 0, as it has saved."""
    with start(project, "photos", WAIT="1") as script:
        while (line := script.stdout.readline()) != "waits\n":
            assert line, "the script ended before the training"
        number = signal.Signals[name]
        os.killpg(script.pid, number)
        try:
            assert script.wait(60) == 128 + number
        finally:
            # A script that was started with the signal ignored, as by nohup, would wait forever.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(script.pid, signal.SIGKILL)
    assert len(programs(project)) == 1
