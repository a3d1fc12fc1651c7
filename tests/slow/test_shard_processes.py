"""Sampling in several processes: killed, with other settings, and two at a time."""

import subprocess
import sys

import numpy as np
import pytest

from tests.helpers import small_runs as runs
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.sample import sample
from tf_mdsm.runs.train import train

STEM = "annealed_langevin_12"


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = runs.small_config(
        training__num_steps=5,
        sampling__num_samples=12,
        sampling__batch_size=1,
        # An image takes a fraction of a second: kills land in the middle.
        sampling__hot_steps=2_000,
        sampling__show_every=500,
    )
    train(config, str(folder))
    return folder


def read_samples(workdir) -> dict[str, np.ndarray]:
    with np.load(workdir / "samples" / f"{STEM}.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def uninterrupted(workdir):
    """The images and energies of an uninterrupted run."""
    sample(get_config(str(workdir)), str(workdir))
    arrays = read_samples(workdir)
    for path in (workdir / "samples").iterdir():
        path.unlink()
    return arrays


def test_a_killed_run_samples_only_the_missing_images(workdir, uninterrupted):
    def done() -> int:
        return len(list((workdir / "samples").glob("*.shards/[0-9]*_by_0.npz")))

    with runs.started(f"--workdir={workdir}", "--mode=sample") as process:
        runs.wait_for(lambda: done() >= 3, process)
        process.kill()
    before = done()
    assert 3 <= before < 12
    result = runs.call(f"--workdir={workdir}", "--mode=sample")
    assert result.returncode == 0, result.stderr
    assert f"{before} of 12 batches are there already" in result.stderr
    for name, value in uninterrupted.items():
        np.testing.assert_array_equal(read_samples(workdir)[name], value, err_msg=name)
    assert not list((workdir / "samples").glob("*.shards"))


def test_shards_of_other_settings_are_not_used(workdir, uninterrupted):
    """A killed run with other seeds has left shards."""
    with runs.started(
        f"--workdir={workdir}", "--mode=sample", "--config.sampling.seed=5"
    ) as process:
        runs.wait_for(lambda: list((workdir / "samples").glob("*.shards/[0-9]*_by_0.npz")), process)
        process.kill()
    result = runs.call(f"--workdir={workdir}", "--mode=sample")
    assert "are there already" not in result.stderr
    np.testing.assert_array_equal(read_samples(workdir)["images"], uninterrupted["images"])


def test_two_workers_sample_together(workdir, uninterrupted):
    arguments = ["2", f"--workdir={workdir}", "--mode=sample"]
    result = subprocess.run(
        ["launch/workers.sh", *arguments],
        cwd=runs.ROOT,
        env=runs.environment(PYTHON=sys.executable),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    endings = (".npz", ".png", "_energy.png", "_chain.png", "_chain.gif")
    assert result.stdout.splitlines() == [
        f"[0] {workdir}/samples/{STEM}{ending}" for ending in endings
    ]
    np.testing.assert_array_equal(read_samples(workdir)["images"], uninterrupted["images"])
    np.testing.assert_array_equal(read_samples(workdir)["energies"], uninterrupted["energies"])
