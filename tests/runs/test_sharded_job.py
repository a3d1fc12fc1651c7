"""A job in shards: all devices, other workers, and a run that has gone on training."""

import dataclasses

import numpy as np
import pytest

from tf_mdsm.config.file import get_config
from tf_mdsm.errors import RunError
from tf_mdsm.runs import sharded_job
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.runs.sharded_job import JobDevices, ShardedJob


@pytest.fixture(scope="module")
def run(small_run):
    return load_run(get_config(str(small_run)), str(small_run))


def job(run, folder, monkeypatch, *, rank=0, workers=1, devices=1) -> ShardedJob:
    monkeypatch.setattr(sharded_job, "read_worker_rank", lambda *_: (rank, workers))
    monkeypatch.setattr(sharded_job, "local_devices", lambda: ["/device:CPU:0"] * devices)
    config = run.config
    return ShardedJob(
        config,
        run,
        JobDevices(config),
        folder=str(folder / "shards"),
        count=5,
        result=str(folder / "result.npz"),
        name="counting",
    )


def numbers(run, on_steps):
    """A shard's number, with the step of the run that computed it."""

    def compute(number):
        on_steps(1)
        return {"number": np.array([number]), "step": np.array([run.step])}

    return compute


@pytest.mark.parametrize("devices", [1, 3])
def test_all_shards_are_computed_on_all_devices(run, tmp_path, monkeypatch, devices):
    counting = job(run, tmp_path, monkeypatch, devices=devices)
    assert counting.is_chief
    assert counting.begin()
    counting.compute(numbers)
    found = counting.shards.load(["number", "step"])
    assert found["number"].tolist() == [0, 1, 2, 3, 4]
    assert found["step"].tolist() == [run.step] * 5


def test_workers_share_the_work(run, tmp_path, monkeypatch):
    """The second of two begins when the folder is there, with shards of its own."""
    first = job(run, tmp_path, monkeypatch, workers=2)
    second = job(run, tmp_path, monkeypatch, rank=1, workers=2)
    assert not second.is_chief
    with pytest.raises(RunError, match="the first worker has not begun counting after 0 s"):
        second.begin(wait_seconds=0)
    (tmp_path / "shards").mkdir()
    assert second.begin(wait_seconds=0)
    assert first.shards.missing()[:3] == [0, 2, 4]
    assert second.shards.missing()[:2] == [1, 3]


def test_a_worker_that_is_late_finds_the_result(run, tmp_path, monkeypatch):
    (tmp_path / "result.npz").touch()
    assert not job(run, tmp_path, monkeypatch, rank=1, workers=2).begin(wait_seconds=0)


def test_a_checkpoint_that_changes_meanwhile(run, tmp_path, monkeypatch):
    counting = job(run, tmp_path, monkeypatch, devices=2)
    other = dataclasses.replace(run, step=run.step + 1)
    monkeypatch.setattr(sharded_job, "load_run", lambda *_: other)
    with pytest.raises(RunError, match=f"another checkpoint than that of step {run.step}"):
        counting.compute(numbers)
