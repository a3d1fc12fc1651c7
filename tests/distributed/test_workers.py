"""The workers of a strategy: what they exchange, and the errors of a lost one."""

import types

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tf_mdsm.distributed.workers import Workers
from tf_mdsm.errors import RunError


@pytest.fixture
def workers():
    return Workers(tf.distribute.get_strategy())


def each_of(numbers: list[list[int]]) -> list[Workers]:
    """The workers of a run, as each of them sees it, of which each has its row of numbers."""
    all_rows = []
    for rank, mine in enumerate(numbers):
        rows = np.zeros((len(numbers), len(mine)), np.int64)
        rows[rank] = mine
        all_rows.append(rows)
    found = []
    for rank, rows in enumerate(all_rows):
        workers = Workers(tf.distribute.get_strategy())
        workers.rank, workers.world_size = rank, len(numbers)
        others = tf.constant(sum(all_rows) - rows)
        workers._sum_over_workers = others.__add__
        found.append(workers)
    return found


def test_a_strategy_of_one_process_has_one_worker(workers):
    assert (workers.rank, workers.world_size, workers.is_chief) == (0, 1, True)
    assert workers.agree_on([10])
    assert workers.any(True)
    assert not workers.any(False)
    workers.barrier()


def test_rank_and_number_come_from_the_cluster(monkeypatch):
    class Strategy:
        cluster_resolver = types.SimpleNamespace(
            task_id=2, cluster_spec=lambda: tf.train.ClusterSpec({"worker": ["a:1", "b:1", "c:1"]})
        )

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Strategy)
    workers = Workers(Strategy())
    assert (workers.rank, workers.world_size, workers.is_chief) == (2, 3, False)


@pytest.mark.parametrize(
    ("numbers", "agree"),
    [
        ([[3, 10], [3, 10]], True),
        ([[3, 10], [3, 7]], False),
        # One of these is the mean of all.
        ([[0], [5_000], [10_000]], False),
        ([[5_000], [0], [10_000], [5_000]], False),
        ([[-7], [-7], [-7]], True),
        ([[2**63 - 1]] * 3, True),
        ([[2**63 - 1], [1], [2**62]], False),
    ],
)
def test_all_workers_notice_different_numbers(numbers, agree):
    for workers, mine in zip(each_of(numbers), numbers, strict=True):
        assert workers.agree_on(mine) == agree


@given(st.lists(st.lists(st.integers(0, 2**63 - 1), min_size=2, max_size=2), min_size=1))
def test_workers_agree_if_their_numbers_are_the_same(numbers):
    answers = {w.agree_on(mine) for w, mine in zip(each_of(numbers), numbers, strict=True)}
    assert answers == {all(mine == numbers[0] for mine in numbers)}


@pytest.mark.parametrize("flags", [[False, False, False], [False, True, False], [True, True]])
def test_a_flag_of_any_worker_counts(flags):
    for workers, flag in zip(each_of([[int(flag)] for flag in flags]), flags, strict=True):
        assert workers.any(flag) == any(flags)


@pytest.mark.parametrize(
    ("error", "world_size", "message"),
    [
        (OSError("no space left"), 1, "step 3: no space left"),
        (tf.errors.UnavailableError(None, None, "gone"), 1, "step 3: gone"),
        (tf.errors.UnavailableError(None, None, "gone"), 2, "step 3: a worker was lost; start all"),
        (tf.errors.InternalError(None, None, "Collective ops is aborted"), 2, "a worker was lost"),
        (tf.errors.InternalError(None, None, "no memory"), 2, "step 3: no memory"),
    ],
)
def test_errors_name_the_moment_and_a_lost_worker(workers, error, world_size, message):
    workers.world_size = world_size
    with pytest.raises(RunError, match=message), workers.errors_at("step 3"):
        raise error


def test_other_errors_pass(workers):
    with pytest.raises(ZeroDivisionError), workers.errors_at("step 3"):
        raise ZeroDivisionError
