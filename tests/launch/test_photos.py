"""`launch/photos.sh`: what it starts, with an interpreter that only records."""

import os
import signal

import pytest

from tests.helpers.script_project import TRAINING, programs, script_project, start, training_of


@pytest.fixture
def project(tmp_path):
    """A copy of the script in a project whose environment is ready."""
    return script_project(tmp_path, "photos.sh", TRAINING)


def test_it_trains_and_restores(project):
    with start(project, "photos.sh", "photos") as script:
        assert script.wait(60) == 0
    train, restore = programs(project)
    run = f"{project}/runs/photos"
    assert train == f"-m tf_mdsm.main --config=configs/photos.py --workdir={run}"
    images = f"--config.restoration.images={project.parent}/photos"
    assert restore.startswith(f"-m tf_mdsm.main --workdir={run} --mode=restore")
    assert {images, "--config.restoration.measured"} <= set(restore.split())


def test_the_model_of_a_run_is_not_trained(project):
    arguments = ("photos", "own", "--config.restoration.seed=1")
    with start(project, "photos.sh", *arguments) as script:
        assert script.wait(60) == 0
    [restore] = programs(project)
    assert f"--workdir={project.parent}/own " in restore
    assert restore.endswith("--config.restoration.seed=1")


def test_a_training_that_is_stopped_restores_nothing(project):
    """Its exit status is 0, as it has saved."""
    with start(project, "photos.sh", "photos", WAIT="1") as script:
        os.kill(training_of(script), signal.SIGTERM)
        assert script.wait(60) == 1
    assert len(programs(project)) == 1
