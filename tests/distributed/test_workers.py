"""The workers of a strategy: what they exchange, and the errors of a lost one."""

import types

import pytest
import tensorflow as tf

from tf_mdsm.distributed.workers import Workers
from tf_mdsm.errors import RunError


@pytest.fixture
def workers():
    return Workers(tf.distribute.get_strategy())


@pytest.fixture
def two_workers(workers, monkeypatch):
    """A function of the other worker's numbers: the workers of a run, this one the first of two."""
    workers.world_size = 2

    def with_other(theirs: list[int]) -> Workers:
        def add(mine):
            return mine + tf.constant(theirs, tf.int64)

        monkeypatch.setattr(workers, "_sum_over_workers", add)
        return workers

    return with_other


def test_a_strategy_of_one_process_has_one_worker(workers):
    assert (workers.rank, workers.world_size, workers.is_chief) == (0, 1, True)
    assert workers.agree_on([10])
    assert workers.any(True)
    assert not workers.any(False)
    workers.barrier()
    assert workers._sum([2, 2**32]) == [2, 2**32]


def test_rank_and_number_come_from_the_cluster(monkeypatch):
    class Strategy:
        cluster_resolver = types.SimpleNamespace(
            task_id=2, cluster_spec=lambda: tf.train.ClusterSpec({"worker": ["a:1", "b:1", "c:1"]})
        )

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Strategy)
    workers = Workers(Strategy())
    assert (workers.rank, workers.world_size, workers.is_chief) == (2, 3, False)


def test_workers_notice_different_numbers(two_workers):
    assert two_workers([3, 10]).agree_on([3, 10])
    assert not two_workers([3, 7]).agree_on([3, 10])


def test_a_flag_of_any_worker_counts(two_workers):
    for mine, theirs in ((True, False), (False, True), (True, True), (False, False)):
        assert two_workers([int(theirs)]).any(mine) == (mine or theirs)


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
