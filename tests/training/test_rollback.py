"""Rollback after a non-finite loss: the record of rollbacks, and the rate that follows from it."""

import logging
import types

import pytest
import tensorflow as tf

from tf_mdsm.distributed.workers import Workers
from tf_mdsm.errors import RunError
from tf_mdsm.training.rollback import (
    NonFiniteLoss,
    prepare_rollback,
    rate_factor,
    read_rollbacks,
    record_rollback,
)


def new_session(folder, max_rollbacks: int = 2):
    """What a rollback needs of a session."""
    return types.SimpleNamespace(
        settings=types.SimpleNamespace(max_rollbacks=max_rollbacks, rollback_rate=0.1),
        workers=Workers(tf.distribute.get_strategy()),
        checkpoints=types.SimpleNamespace(folder=str(folder)),
    )


def test_the_error_names_the_step_and_the_checkpoint():
    kept = NonFiniteLoss(14, 10)
    assert str(kept) == "step 14: the loss is not finite; checkpoint of step 10 is kept"
    assert str(NonFiniteLoss(3, None)).endswith("; no checkpoint was written")
    assert str(NonFiniteLoss(3, 0)).endswith("; checkpoint of step 0 is kept")


def test_the_record_grows(tmp_path):
    assert read_rollbacks(str(tmp_path)) == []
    record_rollback(str(tmp_path), NonFiniteLoss(14, 10))
    record_rollback(str(tmp_path), NonFiniteLoss(3, None))
    assert read_rollbacks(str(tmp_path)) == [{"from": 14, "to": 10}, {"from": 3, "to": 0}]
    assert rate_factor(str(tmp_path), 0.5) == 0.25


@pytest.mark.parametrize("content", ["{", "3", '[{"from": 3}]', '[{"from": 3, "to": "x"}]'])
def test_a_damaged_record_is_refused(tmp_path, content):
    """It is not ignored, as the learning rate follows from it."""
    (tmp_path / "rollbacks.json").write_text(content)
    with pytest.raises(RunError, match=r"rollbacks.json cannot be read"):
        rate_factor(str(tmp_path), 0.5)


def test_rollbacks_are_allowed_up_to_a_number(tmp_path, caplog):
    session, error = new_session(tmp_path, max_rollbacks=2), NonFiniteLoss(14, 10)
    with caplog.at_level(logging.WARNING, "tf_mdsm"):
        prepare_rollback(session, error)
        prepare_rollback(session, error)
    assert caplog.messages[0] == f"{error}; continuing from step 10 at 0.1 times the learning rate"
    assert "at 0.01 times" in caplog.messages[1]
    with pytest.raises(NonFiniteLoss) as caught:
        prepare_rollback(session, error)
    assert caught.value is error
    assert len(read_rollbacks(str(tmp_path))) == 2


def test_none_is_allowed_by_default(tmp_path):
    with pytest.raises(NonFiniteLoss):
        prepare_rollback(new_session(tmp_path, max_rollbacks=0), NonFiniteLoss(1, None))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rank", [0, 1])
def test_several_workers_must_be_started_again(tmp_path, rank):
    """The chief alone records the rollback."""
    session = new_session(tmp_path)
    session.workers.rank, session.workers.world_size = rank, 2
    with pytest.raises(RunError, match="start all workers again to continue at a lower rate"):
        prepare_rollback(session, NonFiniteLoss(14, 10))
    assert len(read_rollbacks(str(tmp_path))) == (1 if rank == 0 else 0)


def test_a_record_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RunError, match="step 14: "):
        prepare_rollback(new_session(tmp_path), NonFiniteLoss(14, 10))
