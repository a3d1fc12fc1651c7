"""A likelihood run that is killed continues with what it has finished."""

import shutil

from tests.helpers.likelihood_runs import SETTINGS, likelihood_report, run_likelihood
from tests.helpers.small_runs import started, wait_for
from tf_mdsm.evaluation.likelihood import estimate


def test_a_killed_run_continues(small_run, tmp_path, monkeypatch):
    """By the command; the adaptation and the finished chains are kept."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    arguments = [f"--config.likelihood.{name}={value}" for name, value in SETTINGS.items()]
    with started(f"--workdir={workdir}", "--mode=likelihood", *arguments) as process:
        wait_for(lambda: list(workdir.glob("evaluation/*.shards/up/*.npz")), process)
    assert list(workdir.glob("evaluation/*.shards/*/*.npz"))
    assert not (workdir / "evaluation" / "likelihood.json").exists()
    # Nothing must adapt again.
    monkeypatch.setattr(estimate, "adapt", None)
    run_likelihood(workdir)
    assert not list(workdir.glob("evaluation/*.shards"))
    assert likelihood_report(workdir)["images"]["training"]["num_images"] == 200
