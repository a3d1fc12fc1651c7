"""Which source describes the workers, and which descriptions a strategy accepts."""

import pytest

from tests.helpers.clusters import SLURM, TWO_WORKERS, tf_config
from tf_mdsm.distributed.cluster_sources import SOURCES, read_worker_rank
from tf_mdsm.distributed.strategies import create_strategy
from tf_mdsm.errors import InvalidArgument

DESCRIPTIONS = {
    "tf_config": {"TF_CONFIG": tf_config(TWO_WORKERS)},
    "slurm": SLURM,
    "kubernetes": {"TF_MDSM_WORKERS": "2"},
}


@pytest.fixture(autouse=True)
def describe(monkeypatch):
    """A function that describes workers by one source; before, nothing describes any."""
    for variable in SOURCES.values():
        monkeypatch.delenv(variable, raising=False)

    def describe(source: str) -> None:
        for name, value in DESCRIPTIONS[source].items():
            monkeypatch.setenv(name, value)

    return describe


@pytest.mark.parametrize(("source", "expected"), [("tf_config", (0, 2)), ("slurm", (2, 4))])
def test_rank_of_this_process(describe, source, expected):
    describe(source)
    assert read_worker_rank("multi_worker_mirrored", source) == expected


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("strategy", ["mirrored", "one_device"])
def test_several_workers_need_the_strategy_for_several_workers(describe, strategy, source):
    describe(source)
    for function in (create_strategy, read_worker_rank):
        with pytest.raises(InvalidArgument, match=f"one worker under the strategy {strategy}"):
            function(strategy, source)


def test_one_worker_may_have_any_strategy(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", tf_config({"worker": ["a:1"]}))
    for strategy in ("mirrored", "one_device", "multi_worker_mirrored"):
        assert read_worker_rank(strategy, "tf_config") == (0, 1)


def test_a_tpu_ignores_descriptions(describe):
    describe("tf_config")
    assert read_worker_rank("tpu", "tf_config") == (0, 1)


@pytest.mark.parametrize("source", SOURCES)
def test_without_a_description_there_is_one_worker(source):
    for strategy in ("mirrored", "one_device", "multi_worker_mirrored", "tpu"):
        assert read_worker_rank(strategy, source) == (0, 1)


@pytest.mark.parametrize("strategy", ["mirrored", "one_device", "multi_worker_mirrored"])
def test_an_empty_description_is_ignored(monkeypatch, strategy):
    """TF_CONFIG={}, and Slurm's variables in a batch script outside of any step."""
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert read_worker_rank(strategy, "tf_config") == (0, 1)
    monkeypatch.setenv("SLURM_PROCID", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert read_worker_rank(strategy, "slurm") == (0, 1)


@pytest.mark.parametrize(
    ("described", "asked"),
    [("slurm", "tf_config"), ("tf_config", "slurm"), ("kubernetes", "tf_config")],
)
def test_workers_that_another_source_describes_are_refused(describe, described, asked):
    describe(described)
    message = rf"training.cluster` must be {described}, .*{SOURCES[described]}.* {asked}"
    for function in (read_worker_rank, create_strategy):
        with pytest.raises(InvalidArgument, match=message):
            function("multi_worker_mirrored", asked)
