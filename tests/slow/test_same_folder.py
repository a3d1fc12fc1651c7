"""Two real processes in one folder: they work beside each other, or one is refused."""

import json
import os
import pathlib
import re
import shutil

import numpy as np
import pytest

from tests.helpers.small_runs import call_process, running_together, small_config
from tf_mdsm.runs.results import read_provenance
from tf_mdsm.runs.train import train

REFUSED = r"tf_mdsm: `--workdir` must be .* one process at a time.*where process \d+ on "

SAMPLE = ("--mode=sample", "--config.sampling.num_samples=400", "--config.sampling.batch_size=4")
EVALUATE = ("--mode=evaluate", "--config.evaluation.num_samples=64")
LIKELIHOOD = (
    "--mode=likelihood",
    *("--config.likelihood.num_chains=64", "--config.likelihood.batch_size=2"),
    *("--config.likelihood.num_temperatures=20", "--config.likelihood.pilot_temperatures=4"),
)


@pytest.fixture
def workdir(small_run, tmp_path):
    return shutil.copytree(small_run, tmp_path / "run")


@pytest.mark.parametrize("mode", [SAMPLE, EVALUATE, LIKELIHOOD], ids=lambda mode: mode[0])
def test_the_same_job_is_done_once(workdir, mode):
    """Of two processes that are started together, one finishes, and the other names it."""
    together = running_together([[f"--workdir={workdir}", *mode], [f"--workdir={workdir}", *mode]])
    statuses = sorted(answer.returncode for answer in together)
    refused = [answer for answer in together if answer.returncode == 2]
    # One that starts late enough finds the job done, and does it again.
    assert statuses in ([0, 2], [0, 0]), together
    for answer in refused:
        assert re.search(REFUSED, answer.stderr), answer.stderr
        assert len(answer.stderr.strip().splitlines()) <= 3
    left = [path.name for path in workdir.rglob("*") if re.search("lock|shards|partial", path.name)]
    assert left == ["lock"]  # That of training, which stays.


def test_samplers_of_different_seeds_share_a_folder(workdir):
    """As a job array starts them: both results are there, and as if each had been alone."""
    flags = [[f"--workdir={workdir}", *SAMPLE, f"--config.sampling.seed={s}"] for s in (0, 5000)]
    together = running_together(flags)
    assert [answer.returncode for answer in together] == [0, 0], together
    paths = [answer.stdout.split()[0] for answer in together]
    assert len(set(paths)) == 2
    for path, seed in zip(paths, (0, 5000), strict=True):
        assert read_provenance(path)["seed"] == seed
    alone = call_process(*flags[1])
    assert alone.stdout.split()[0] == paths[1]


def test_restorations_of_two_processes_are_both_there(workdir):
    flags = [
        [f"--workdir={workdir}", "--mode=restore", f"--config.restoration.seed={seed}"]
        for seed in (0, 0, 7)
    ]
    together = running_together(flags)
    assert [answer.returncode for answer in together] == [0, 0, 0], together
    paths = [answer.stdout.split()[0] for answer in together]
    assert paths[0] == paths[1] != paths[2]
    seeds = [
        json.loads(pathlib.Path(path).with_suffix(".json").read_text())["settings"]["seed"]
        for path in paths
    ]
    assert seeds == [0, 0, 7]


def test_training_and_evaluation_share_the_classifier(tmp_path):
    """It is trained once; whoever comes second waits and loads it."""
    workdir = tmp_path / "run"
    fields = {"optimizer__schedule": "constant", "training__num_steps": 10}
    config = small_config(**fields)
    train(config, str(workdir))
    going_on = [
        *(f"--config={workdir}/recipe.py", f"--workdir={workdir}"),
    ]
    (workdir / "recipe.py").write_text(
        "from tests.helpers.small_runs import small_config\n"
        "def get_config():\n"
        "    return small_config(optimizer__schedule='constant', training__num_steps=20,\n"
        "        training__evaluate_every=10, training__evaluation_samples=64)\n"
    )
    together = running_together([going_on, [f"--workdir={workdir}", *EVALUATE]])
    assert [answer.returncode for answer in together] == [0, 0], together
    (classifier,) = (workdir / "evaluation").glob("classifier_*")
    assert classifier.suffix == ".keras"
    (statistics,) = (workdir / "evaluation").glob("statistics_*")
    with np.load(statistics) as arrays:
        assert len(str(arrays["features_hash"])) == 16
    assert os.path.exists(workdir / "evaluation" / "metrics.json")
