"""Shards of a long job: shared by several processes, and kept after a kill."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import small_runs as runs

from tf_mdsm.config.file import get_config
from tf_mdsm.runs.sample import sample
from tf_mdsm.runs.train import train
from tf_mdsm.system.shards import Shards

STEM = "annealed_langevin_12"


def squares(number: int) -> dict[str, np.ndarray]:
    return {"squares": np.array([2 * number, 2 * number + 1]) ** 2}


def test_shards_are_joined_in_order(tmp_path):
    shards = Shards(str(tmp_path / "shards"), 12)
    assert sorted(shards.compute(squares)) == list(range(12))
    np.testing.assert_array_equal(shards.load(["squares"])["squares"], np.arange(24) ** 2)
    shards.remove()
    assert not (tmp_path / "shards").exists()


def test_existing_shards_are_not_computed_again(tmp_path):
    folder = str(tmp_path / "shards")
    first = Shards(folder, 5).compute(squares)
    done = {next(first), next(first)}
    # A process that is killed while it writes leaves a partial file.
    (tmp_path / "shards" / ".partial-000003_by_0.npz").write_bytes(b"half of a file")
    assert set(Shards(folder, 5).compute(squares)) == set(range(5)) - done
    np.testing.assert_array_equal(
        Shards(folder, 5).load(["squares"])["squares"], np.arange(10) ** 2
    )


def test_workers_share_the_work_and_replace_a_lost_worker(tmp_path):
    folder = str(tmp_path / "shards")
    ours, theirs = (Shards(folder, 7, worker, 2) for worker in range(2))
    assert theirs.missing()[:3] == [1, 3, 5]
    first = theirs.compute(squares)
    assert next(first) == 1  # Then this worker is lost.
    assert list(ours.compute(squares)) == [0, 2, 4, 6, 5, 3]
    assert list(first) == []
    np.testing.assert_array_equal(ours.load(["squares"])["squares"], np.arange(14) ** 2)


def test_a_worker_ends_when_the_folder_has_been_removed(tmp_path):
    """Also while it computes a shard: the folder is not created again."""
    ours, theirs = (Shards(str(tmp_path / "shards"), 4, worker, 2) for worker in range(2))

    def compute_while_the_other_finishes(number: int) -> dict[str, np.ndarray]:
        if number == 3:
            list(ours.compute(squares))
            ours.remove()
        return squares(number)

    assert list(theirs.compute(compute_while_the_other_finishes)) == [1]
    assert not (tmp_path / "shards").exists()


def test_a_shard_in_progress_is_left_to_its_worker(tmp_path):
    """Neither of two workers computes a shard that the other one is computing."""
    done = ([], [])

    def work(worker: int) -> None:
        def slow(number: int) -> dict[str, np.ndarray]:
            time.sleep(0.4 if worker else 0.3)
            return squares(number)

        done[worker].extend(Shards(str(tmp_path / "shards"), 4, worker, 2).compute(slow))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == ([0, 2], [1, 3])


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    config = runs.small_config(
        training__num_steps=5, sampling__num_samples=12, sampling__batch_size=1
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


@pytest.mark.long
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
