"""Checkpoints of training: what they hold, which one is restored, what a fault leaves."""

import functools
import itertools
import json
import logging
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.networks.build import build_network
from tf_mdsm.system import checksums
from tf_mdsm.training.checkpoints import TrainingCheckpoints, restore_weights, write_averages
from tf_mdsm.training.optimizers import Adam


def new_model(channels: int = 4, ema_momentum: float = 0.9) -> EnergyModel:
    """A compiled model of points in the plane."""
    network = build_network("dense", (1, 1, 2), channels=channels)
    model = EnergyModel(network, ema_momentum=ema_momentum)
    model.compile(Adam(1e-3))
    return model


@functools.cache
def shared_model(purpose: str) -> EnergyModel:
    """A model that tests set or restore as a whole before they look at it."""
    return new_model()


def variables(model: EnergyModel) -> list:
    """All that a checkpoint holds, the number of steps last."""
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    networks = [*model.network.variables, *model.ema_network.variables]
    moments = [*model.optimizer._momentums, *model.optimizer._velocities]
    return [*networks, *moments, *metrics, model.optimizer.iterations]


def set_state(model: EnergyModel, step: int) -> None:
    """Sets the model as if after a number of steps; each variable gets another value."""
    for number, variable in enumerate(variables(model)):
        variable.assign(np.full(variable.shape, step + number / 64))
    model.optimizer.iterations.assign(step)


def assert_state(model: EnergyModel, step: int) -> None:
    """The model is exactly as `set_state` leaves it."""
    *others, iterations = variables(model)
    assert int(iterations.numpy()) == step
    assert_values(others, step)


def assert_values(values: list, step: int) -> None:
    for number, variable in enumerate(values):
        # Exact: these numbers have few bits.
        np.testing.assert_array_equal(variable.numpy(), np.float32(step + number / 64))


def save_at(folder: pathlib.Path, *steps: int, keep: int = 3, writes: bool = True) -> None:
    """Saves a checkpoint at each of some steps."""
    model = shared_model("write")
    checkpoints = TrainingCheckpoints(str(folder), model, keep, writes)
    for step in steps:
        set_state(model, step)
        checkpoints.save()


def restored_step(folder: pathlib.Path) -> int | None:
    """Restores the newest checkpoint into another model; returns its step, None without one."""
    model = shared_model("read")
    set_state(model, 0)
    checkpoints = TrainingCheckpoints(str(folder), model, keep=3)
    checkpoints.restore_latest()
    if checkpoints.latest_step is not None:
        assert_state(model, checkpoints.latest_step)
    return checkpoints.latest_step


def flip_a_bit(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_checkpoint_holds_the_whole_state(tmp_path):
    """Weights, averages, moments of the optimizer, running metrics and the step."""
    assert restored_step(tmp_path) is None
    save_at(tmp_path, 7)
    assert restored_step(tmp_path) == 7


def test_only_the_newest_are_kept(tmp_path):
    save_at(tmp_path, 10, 20, 30, 40)
    files = {f"step-{n}.{end}" for n in (20, 30, 40) for end in ("index", "data-00000-of-00001")}
    assert {path.name for path in tmp_path.iterdir()} == {*files, "checkpoint", "checksums.json"}
    assert json.loads((tmp_path / "checksums.json").read_text()).keys() == files


def test_a_step_is_saved_once(tmp_path):
    save_at(tmp_path, 10)
    model = shared_model("read")
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=3)
    checkpoints.restore_latest()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    checkpoints.save()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    set_state(model, 11)
    checkpoints.save()
    assert restored_step(tmp_path) == 11


def test_workers_other_than_the_chief_write_nothing(tmp_path):
    save_at(tmp_path, 10, 20, writes=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "has_checksums"),
    [("data-00000-of-00001", True), ("index", True), ("data-00000-of-00001", False)],
)
def test_a_damaged_checkpoint_is_skipped(tmp_path, caplog, file, has_checksums):
    """Without the recorded checksums, as after a kill between the two writes, TensorFlow's own
    checksums find the damage.
    """
    save_at(tmp_path, 20, 30, 40)
    flip_a_bit(tmp_path / f"step-40.{file}")
    if not has_checksums:
        (tmp_path / "checksums.json").unlink()
    with caplog.at_level(logging.WARNING, "tf_mdsm"):
        assert restored_step(tmp_path) == 30
    assert "step-40 cannot be read" in caplog.text
    assert "the checkpoint of step 30 is used" in caplog.text


def test_a_truncated_checkpoint_is_skipped(tmp_path):
    save_at(tmp_path, 20, 30)
    path = tmp_path / "step-30.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:100])
    assert restored_step(tmp_path) == 20


def test_if_all_are_damaged_the_newest_is_named(tmp_path):
    save_at(tmp_path, 30, 40)
    for path in tmp_path.glob("*.data*"):
        flip_a_bit(path)
    message = r"step-40 cannot be read \(step-40\.data.* has changed since it was written"
    with pytest.raises(RunError, match=message):
        restored_step(tmp_path)


@pytest.mark.parametrize("pointer", ["", "model_checkpoint_path: unknown", "damaged"])
def test_without_its_pointer_the_newest_is_found_by_its_files(tmp_path, pointer):
    """TensorFlow's file `checkpoint` may be empty or damaged after a loss of power."""
    save_at(tmp_path, 9, 10)
    (tmp_path / "checkpoint").write_text(pointer)
    (tmp_path / "step-50.index").write_bytes(b"half-written")
    assert restored_step(tmp_path) == 10


def test_a_checkpoint_that_is_not_complete_does_not_count(tmp_path, caplog):
    """The pointer names the newest; a kill may leave files of the next one."""
    save_at(tmp_path, 9, 10)
    (tmp_path / "step-50.index").write_bytes(b"half-written")
    assert restored_step(tmp_path) == 10
    assert not caplog.text


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    save_at(tmp_path, 10)
    wider = TrainingCheckpoints(str(tmp_path), new_model(channels=6), keep=3)
    with pytest.raises(InvalidArgument, match="hold a checkpoint of this network"):
        wider.restore_latest()
    assert restored_step(tmp_path) == 10


class Killed(BaseException):
    """Ends a test's block at once, as a kill does."""


def kill_before(number: int, monkeypatch) -> None:
    """Raises `Killed` before the operation of this number among all that make files durable."""
    done = itertools.count()

    def counted(original):
        def call(*arguments, **named):
            if next(done) == number:
                raise Killed
            return original(*arguments, **named)

        return call

    manager = tf.train.CheckpointManager
    for owner, name in ((os, "fsync"), (os, "replace"), (manager, "save")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


def test_a_kill_at_any_write_leaves_a_complete_checkpoint(tmp_path):
    """The kills come before the first operation, the second, …, until there is no more."""
    save_at(tmp_path / "before", 10)
    steps, was_killed = [], True
    while was_killed:
        folder = shutil.copytree(tmp_path / "before", tmp_path / str(len(steps)))
        with pytest.MonkeyPatch.context() as patch:
            kill_before(len(steps), patch)
            try:
                save_at(folder, 20)
                was_killed = False
            except Killed:
                pass
        steps.append(restored_step(folder))
    # The files; then the checksums: both files, their list, its name, the folder.
    assert steps == [10, *[20] * 7]


@pytest.mark.parametrize("error", [OSError("no space"), tf.errors.UnknownError(None, None, "no")])
def test_a_failed_write_is_reported_and_tried_again(tmp_path, monkeypatch, error):
    model = shared_model("write")
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=3)
    set_state(model, 10)
    checkpoints.save()
    set_state(model, 20)

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.CheckpointManager, "save", fail)
        with pytest.raises(RunError, match=r"step 20: the checkpoint could not be .* \(no"):
            checkpoints.save()
    assert checkpoints.latest_step == 10
    assert restored_step(tmp_path) == 10
    checkpoints.save()
    assert restored_step(tmp_path) == 20


def test_old_checksums_are_forgotten_before_files_are_overwritten(tmp_path, monkeypatch):
    """Else a kill before the new checksums would make the new files count as damaged."""
    save_at(tmp_path, 10, 20)
    (tmp_path / "checkpoint").write_bytes(b"")
    with monkeypatch.context() as patch:
        patch.setattr(checksums, "record", lambda *_: None)
        save_at(tmp_path, 20)
    assert restored_step(tmp_path) == 20


@pytest.mark.parametrize("write", ["save", "keep_as_guide"])
def test_new_weights_are_announced_once(tmp_path, write):
    """Before they are written, and only if a step has been trained since the last checkpoint."""
    model = shared_model("write")
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=3)
    set_state(model, 10)
    checkpoints.save()
    announced = []
    checkpoints.before_new_weights = lambda: announced.append(
        sorted(path.name for path in tmp_path.rglob("step-*.index"))
    )
    getattr(checkpoints, write)()
    assert announced == []
    before = sorted(path.name for path in tmp_path.rglob("step-*.index"))
    for step in (20, 30):
        set_state(model, step)
        getattr(checkpoints, write)()
    assert announced == [before]


def test_weights_that_cannot_be_announced_are_not_written(tmp_path):
    model = shared_model("write")
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=3)
    set_state(model, 10)

    def fail():
        raise OSError("no space")

    checkpoints.before_new_weights = fail
    for write in (checkpoints.save, checkpoints.keep_as_guide):
        with pytest.raises(RunError, match=r"could not be written .*no space"):
            write()
    assert list(tmp_path.rglob("step-*")) == []


def test_events_are_owed_by_their_step(tmp_path):
    """A note of another step, or one that cannot be read, does not count."""
    model = shared_model("write")
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=3)
    set_state(model, 10)
    assert checkpoints.owed_events() == []
    checkpoints.owe_events(["evaluate", "sample"])
    again = TrainingCheckpoints(str(tmp_path), model, keep=3)
    assert again.owed_events() == ["evaluate", "sample"]
    set_state(model, 11)
    assert again.owed_events() == []
    set_state(model, 10)
    for damaged in ("", "[]", "{}", '{"step": 10}', '{"step": 10, "events": 1}'):
        (tmp_path / "owed.json").write_text(damaged)
        assert again.owed_events() == []
    other = TrainingCheckpoints(str(tmp_path), model, keep=3, writes=False)
    other.owe_events([])
    assert (tmp_path / "owed.json").exists()
    again.owe_events([])
    again.owe_events([])
    assert list(tmp_path.iterdir()) == []


# The best checkpoint


def test_the_smallest_distance_is_kept(tmp_path):
    """Distances of another measure, of other features or samples, are not compared."""
    model = shared_model("write")
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=1)
    record = tmp_path / "best" / "distance.json"
    kept = []
    for step, distance, measure in (
        (1, 3.0, "one"),
        (2, 4.0, "one"),
        (3, 3.0, "one"),
        (4, 40.0, "other"),
        (5, 2.0, "other"),
    ):
        set_state(model, step)
        checkpoints.keep_if_best(distance, measure)
        best = json.loads(record.read_text())
        kept.append((best["step"], best["distance"], best["measure"]))
    assert kept == [(1, 3, "one")] * 3 + [(4, 40, "other"), (5, 2, "other")]
    assert [path.name for path in (tmp_path / "best").glob("*.index")] == ["step-5.index"]


def test_a_damaged_record_of_the_distance_is_replaced(tmp_path):
    checkpoints = TrainingCheckpoints(str(tmp_path), shared_model("write"), keep=1)
    checkpoints.keep_if_best(1.0, "one")
    (tmp_path / "best" / "distance.json").write_text("{")
    checkpoints.keep_if_best(2.0, "one")
    assert json.loads((tmp_path / "best" / "distance.json").read_text())["distance"] == 2


def test_a_best_checkpoint_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    checkpoints = TrainingCheckpoints(str(tmp_path), shared_model("write"), keep=1)

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr(checksums, "record", fail)
    set_state(shared_model("write"), 7)
    with pytest.raises(RunError, match=r"step 7: the best checkpoint could not be .*no space"):
        checkpoints.keep_if_best(1.0, "one")


# Weights of a run that is not trained any further


def test_weights_of_the_newest_the_best_the_guide_and_a_steps_checkpoint(tmp_path):
    model = shared_model("write")
    checkpoints = TrainingCheckpoints(str(tmp_path), model, keep=3)
    for step, distance in ((1, 5.0), (2, 1.0), (3, 2.0)):
        set_state(model, step)
        checkpoints.save()
        checkpoints.keep_if_best(distance, "one")
        if step == 2:
            checkpoints.keep_as_guide()
    for which, step in (("newest", 3), ("best", 2), ("guide", 2), (1, 1), (3, 3)):
        used = shared_model("read")
        assert restore_weights(str(tmp_path), used, which) == step
        assert_values([*used.network.variables, *used.ema_network.variables], step)


def test_weights_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InvalidArgument, match=r"--workdir` must hold a checkpoint \(train first"):
        restore_weights(str(tmp_path), shared_model("read"))
    save_at(tmp_path, 10)
    with pytest.raises(InvalidArgument, match=r"config.checkpoint.*evaluate_every"):
        restore_weights(str(tmp_path), shared_model("read"), "best")
    with pytest.raises(
        InvalidArgument, match=r"newest, best, guide or a step that is kept \(10\).*: 11"
    ):
        restore_weights(str(tmp_path), shared_model("read"), 11)
    with pytest.raises(InvalidArgument, match="hold a checkpoint of this network"):
        restore_weights(str(tmp_path), new_model(channels=6))


# Folders whose path TensorFlow would take for a pattern


@pytest.mark.parametrize("name", ["lr[1e-3]", "a*b?", "back\\slash", "[x]/below"])
def test_a_folder_of_any_name_is_read_and_tidied(tmp_path, name):
    folder, beside = tmp_path / name / "checkpoints", tmp_path / "aab1" / "checkpoints"
    save_at(beside, 1, 2)
    checkpoints = TrainingCheckpoints(str(folder), shared_model("write"), keep=2)
    for step in (1, 2, 3, 4):
        set_state(shared_model("write"), step)
        checkpoints.save()
        checkpoints.keep_if_best(10.0 - step, "one")
    assert sorted(path.stem for path in folder.glob("*.index")) == ["step-3", "step-4"]
    assert sorted(path.stem for path in folder.glob("best/*.index")) == ["step-4"]
    # Another folder, which such a pattern would match, keeps its own.
    assert sorted(path.stem for path in beside.glob("*.index")) == ["step-1", "step-2"]
    assert restored_step(folder) == 4
    for which, step in (("newest", 4), ("best", 4), (3, 3)):
        assert restore_weights(str(folder), shared_model("read"), which) == step
    (folder / "checkpoint").unlink()
    assert restored_step(folder) == 4
    # The folder may be moved to a plain name.
    shutil.move(folder, tmp_path / "plain")
    assert restored_step(tmp_path / "plain") == 4


def test_averages_alone_are_both_networks_weights_and_are_not_trained_on(tmp_path):
    model, other = shared_model("saved"), shared_model("restored")
    set_state(model, 3)
    write_averages(str(tmp_path), model, step=3)
    set_state(other, 7)
    assert restore_weights(str(tmp_path), other) == 3
    averages = [variable.numpy() for variable in model.ema_network.variables]
    for network in (other.network, other.ema_network):
        for variable, average in zip(network.variables, averages, strict=True):
            np.testing.assert_array_equal(variable, average)
    with pytest.raises(InvalidArgument, match="not of averaged weights alone"):
        TrainingCheckpoints(str(tmp_path), model, 3).restore_latest()
    with pytest.raises(InvalidArgument, match="hold a checkpoint of this network"):
        restore_weights(str(tmp_path), new_model(channels=5))
    with pytest.raises(InvalidArgument, match="keep averaged weights"):
        write_averages(str(tmp_path), new_model(ema_momentum=0.0), step=3)
