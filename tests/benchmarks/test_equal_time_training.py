"""Training for equal time: the number of steps."""

import json

import pytest

from benchmarks.quality import equal_time_training
from benchmarks.quality.equal_time_training import measure_costs, steps_in, train_in_process
from tests.helpers.small_runs import small_config
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument


@pytest.mark.parametrize(
    ("minutes", "seconds", "steps"),
    [(30, 0.13, 13_800), (1, 0.25, 240), (0.001, 5.0, 1), (10, 0.0577, 10_300)],
)
def test_steps_that_fill_the_time(minutes, seconds, steps):
    assert steps_in(minutes, seconds) == steps


@pytest.mark.parametrize(
    ("field", "value"), [("training.num_steps", 3), ("optimizer.learning_rate", 1e-5)]
)
def test_a_run_of_other_settings_is_not_taken_for_this_one(tmp_path, monkeypatch, field, value):
    """Whether it is complete or not; nothing is started, and nothing is changed."""
    config = small_config(training__num_steps=2, optimizer__schedule="cosine")
    calls = []

    def watch(command):
        calls.append(command)
        return 0, 100.0

    monkeypatch.setattr(equal_time_training, "watch_process", watch)
    assert train_in_process(config, str(tmp_path))["step"] == 2
    kept = {path: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(InvalidArgument, match=f"`config.{field}` must stay"):
        train_in_process(with_overrides(config, {field: value}), str(tmp_path))
    assert len(calls) == 1
    assert kept == {path: path.read_text() for path in tmp_path.iterdir()}
    assert train_in_process(config, str(tmp_path))["step"] == 2
    assert len(calls) == 1


def test_costs_of_other_settings_are_measured_again(tmp_path, monkeypatch):
    path = tmp_path / "costs.json"
    timed = []

    def time_jobs(jobs, rounds):
        timed.append([name for name, _ in jobs])
        return {job: [0.5] * rounds for job in jobs}

    jobs = {"step": None}
    monkeypatch.setattr(equal_time_training, "_jobs_of", lambda config: (10, jobs))
    monkeypatch.setattr(equal_time_training, "time_in_turns", time_jobs)
    one, other = small_config(), small_config(network__channels=3)
    first = measure_costs({"a": one, "b": other}, str(path))
    assert json.loads(path.read_text()) == first
    assert measure_costs({"a": one, "b": other}, str(path)) == first
    changed = measure_costs({"a": other, "b": other}, str(path))
    assert changed["b"] == first["b"]
    assert timed == [["a", "b"], [], ["a"]]
