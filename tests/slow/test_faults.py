"""One fault of each kind except signals, which other tests send; `faults.py` has many."""

import pytest

from tests.slow.faults import Faults, failures, markdown


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    return Faults(tmp_path_factory.mktemp("faults"), seed=1)


def assert_nothing_lost(faults, kind: str, count: int) -> None:
    assert sum(faults.table[kind].values()) == count, markdown(faults.table)
    assert not failures(faults.table), markdown(faults.table)


def test_a_checkpoint_is_damaged(faults):
    faults.damaged_checkpoint(1)
    assert_nothing_lost(faults, "a bit of a checkpoint is flipped", 1)


def test_the_disk_is_full(faults):
    faults.full_disk(1)
    assert_nothing_lost(faults, "the disk is full", 1)


def test_the_folder_cannot_be_written(faults):
    faults.read_only()
    assert_nothing_lost(faults, "the folder cannot be written", 1)


def test_the_clock_jumps(faults):
    faults.jumping_clock()
    assert_nothing_lost(faults, "the clock jumps", 1)


def test_another_process_trains_in_the_folder(faults):
    faults.two_processes(1)
    assert_nothing_lost(faults, "a second process", 1)


def test_an_image_is_damaged(faults):
    faults.damaged_image(1)
    assert_nothing_lost(faults, "an image in a folder is damaged", 1)


def test_the_loss_diverges(faults):
    faults.non_finite_loss()
    assert sum(faults.table["the loss is not finite"].values()) >= 1, markdown(faults.table)
    assert not failures(faults.table), markdown(faults.table)


def test_lost_results_are_reported():
    table = {"the disk is full": {"reported; with free space again the same result": 2}}
    assert failures(table) == []
    table["SIGKILL in train"] = {"loss 4 differs": 1}
    assert failures(table) == ["SIGKILL in train: loss 4 differs"]
    assert "| all | 3 | 1 lost or corrupted |" in markdown(table)
