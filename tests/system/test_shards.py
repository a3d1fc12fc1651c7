"""Shards of a long job: shared by several workers, and kept after a kill."""

import os
import re
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.helpers.eager import uncompiled
from tf_mdsm.config.file import get_config
from tf_mdsm.errors import RunError
from tf_mdsm.runs.sharded_sampling import sample_in_shards
from tf_mdsm.system import shards as module
from tf_mdsm.system.shards import Shards


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


def test_a_shard_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(module, "sync", lambda path: calls.append(os.path.basename(path)))
    replace = os.replace

    def rename(source, target):
        calls.append(os.path.basename(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", rename)
    list(Shards(str(tmp_path / "shards"), 1).compute(squares))
    assert re.fullmatch(r"\.partial-\w+-000000_by_0\.npz", calls[0])
    assert calls[1:] == ["000000_by_0.npz", "shards"]


def test_two_processes_of_one_worker_fill_a_folder(tmp_path):
    """As when a mode is started twice: no shard is lost, whoever writes it."""
    done = []

    def fill(_: int) -> None:
        done.append(list(Shards(str(tmp_path / "shards"), 40).compute(squares)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(4)))
    assert set().union(*done) == set(range(40))
    np.testing.assert_array_equal(
        Shards(str(tmp_path / "shards"), 40).load(["squares"])["squares"], np.arange(80) ** 2
    )
    assert not [name for name in os.listdir(tmp_path / "shards") if name.startswith(".")]


def test_shards_that_another_process_has_removed_are_an_error_in_a_sentence(tmp_path):
    shards = Shards(str(tmp_path / "shards"), 2)
    list(shards.compute(squares))
    shards.remove()
    with pytest.raises(RunError, match="another process has removed it; run again"):
        shards.load(["squares"])


def test_single_shards_are_read(tmp_path):
    shards = Shards(str(tmp_path / "shards"), 2)
    list(shards.compute(squares))
    np.testing.assert_array_equal(shards.read(1, ["squares"])["squares"], [4, 9])
    with pytest.raises(KeyError):
        shards.read(1, ["cubes"])


def sample_four(workdir, seed=0):
    """Samples four images in four shards; returns images and energies."""
    config = get_config(str(workdir))
    config.sampling.update(sampler="heun", num_levels=2, num_samples=4, batch_size=1, seed=seed)
    with uncompiled():
        samples = sample_in_shards(config, str(workdir), str(workdir / "samples" / "four"))
    return samples.shards.load(["images", "energies"])


@pytest.fixture(scope="module")
def uninterrupted(small_run, tmp_path_factory):
    return sample_four(shutil.copytree(small_run, tmp_path_factory.mktemp("whole") / "run"))


def writing(numbers, last):
    """`Shards._write` that notes the numbers of the shards, and is interrupted after some."""
    write = Shards._write

    def write_and_note(shards, number, arrays):
        if len(numbers) == last:
            raise KeyboardInterrupt
        numbers.append(number)
        return write(shards, number, arrays)

    return write_and_note


@pytest.mark.parametrize(("seed", "missing"), [(0, [2, 3]), (5, [0, 1, 2, 3])])
def test_interrupted_sampling_goes_on(
    small_run, uninterrupted, tmp_path, monkeypatch, seed, missing
):
    """What is there is not sampled again, unless it was sampled with another seed."""
    workdir = shutil.copytree(small_run, tmp_path / "run")
    first, second = [], []
    with monkeypatch.context() as patch:
        patch.setattr(Shards, "_write", writing(first, last=2))
        with pytest.raises(KeyboardInterrupt):
            sample_four(workdir, seed)
    assert first == [0, 1]
    with monkeypatch.context() as patch:
        patch.setattr(Shards, "_write", writing(second, last=None))
        resumed = sample_four(workdir)
    assert second == missing
    for name, values in uninterrupted.items():
        np.testing.assert_array_equal(resumed[name], values)
