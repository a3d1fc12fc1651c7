"""Checkpoints of a training run: written, verified by checksums, restored; newest and best."""

import contextlib
import glob
import json
import logging
import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system import checksums
from tf_mdsm.system.atomic import sync, write_json
from tf_mdsm.system.plain_paths import plain_name

__all__ = [
    "TrainingCheckpoints",
    "kept_guide_step",
    "newest_step",
    "restore_weights",
    "write_averages",
]

_LOGGER = logging.getLogger(__name__)

# Subfolders of checkpoints that are kept in addition to the newest ones, each with the setting
# that keeps it; and the file in the first that holds its distance.
_KEPT = {"best": "training.evaluate_every", "guide": "training.guide_step"}
_DISTANCE_FILE = "distance.json"
# The file that names the events that a checkpoint's step still owes.
_OWED_FILE = "owed.json"
# The tensor of a checkpoint that says which object has which others.
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


class TrainingCheckpoints:
    """Writes the checkpoints of a training run, and resumes the run from the newest one.

    A checkpoint holds network, averaged weights, optimizer (with the step) and running metrics:
    a resumed run continues as if it had never stopped.

    TensorFlow writes a checkpoint's files first. Then it updates the folder's file `checkpoint`,
    which names the newest checkpoint, by an atomic rename. So a process that is killed at any
    moment leaves the previous checkpoint valid. After that the checksums of the files are
    recorded. A checkpoint whose files have changed is skipped, and the one before it is used.

    Args:
        folder: the run's checkpoint folder.
        model: a compiled model.
        keep: number of checkpoints to keep, the newest ones.
        writes: whether this process writes the files; of several workers only the chief does.
    """

    def __init__(self, folder: str, model: EnergyModel, keep: int, writes: bool = True):
        self._model, self._folder, self._keep, self._writes = model, folder, keep, writes
        # Each replica has its own part of a metric's variable, and all workers have to take part
        # in adding these up. They do so before a checkpoint, into variables that one worker can
        # then write without the others.
        self._metrics = [v.value for metric in model.metrics for v in metric.variables]
        self._metric_sums = [tf.Variable(tf.zeros(v.shape)) for v in self._metrics]
        # The names and their order are part of the format of earlier runs' checkpoints.
        self._checkpoint = tf.train.Checkpoint(
            **_networks(model), optimizer=model.optimizer, metrics=self._metric_sums
        )
        # Step of the checkpoint that was restored or saved last; None if there is none.
        self.latest_step: int | None = None
        # Called once, before weights of a later step than that are written.
        self.before_new_weights: Callable[[], None] | None = None
        if writes:
            os.makedirs(folder, exist_ok=True)
            _remove_empty_pointer(folder)

    @property
    def step(self) -> int:
        """Number of updates of the model so far."""
        return int(self._model.optimizer.iterations.numpy())

    @property
    def folder(self) -> str:
        """The run's checkpoint folder."""
        return self._folder

    def restore_latest(self) -> None:
        """Restores the model from the newest undamaged checkpoint; does nothing if there is none.

        Raises:
            InvalidArgument: if the checkpoint belongs to another network, or holds averages alone.
            RunError: if there are checkpoints, and all are damaged.
        """
        newest = next(iter(_newest_first(self.folder)), None)
        if newest is not None and _holds_averages_alone(newest):
            requirement = "hold a checkpoint to train on, not of averaged weights alone"
            raise InvalidArgument("--workdir", requirement, newest)
        path = _restore_newest(self._checkpoint, self.folder)
        if path:
            self.latest_step = _step_of(path)
            for metric, total in zip(self._metrics, self._metric_sums, strict=True):
                metric.assign(total)

    def save(self) -> None:
        """Writes a checkpoint of the current step, unless there already is one.

        All workers call this together.

        Raises:
            RunError: if it cannot be written. Earlier checkpoints stay valid.
        """
        step = self.step
        for metric, total in zip(self._metrics, self._metric_sums, strict=True):
            total.assign(metric)
        if step == self.latest_step:
            return
        try:
            if self._writes:
                self._announce_new_weights()
                _write(self._checkpoint, self.folder, keep=self._keep, step=step)
            self.latest_step = step
        except (tf.errors.OpError, OSError) as error:
            raise RunError(
                f"step {step}: the checkpoint could not be written to {self.folder} "
                f"({one_line(error)})"
            ) from error

    def keep_if_best(self, distance: float, measure: str) -> None:
        """Writes the current weights as the best checkpoint if their distance is the smallest.

        The best checkpoint is kept in addition to the newest ones, in the subfolder `best`.

        Args:
            distance: distance between samples of the current weights and reference images.
            measure: how the distance was measured. Distances of another measure are not compared.

        Raises:
            RunError: if it cannot be written.
        """
        if distance >= _smallest_distance(os.path.join(self.folder, "best"), measure):
            return
        record = {"distance": distance, "step": self.step, "measure": measure}
        self._keep_weights("best", record)

    def keep_as_guide(self) -> None:
        """Writes the current weights as the guide of `config.guidance`.

        The guide is kept in addition to the newest checkpoints, in the subfolder `guide`.

        Raises:
            RunError: if it cannot be written.
        """
        self._keep_weights("guide")

    def owed_events(self) -> list[str]:
        """Names of the events of the current step that `owe_events` has noted."""
        try:
            with open(os.path.join(self.folder, _OWED_FILE), encoding="utf-8") as file:
                owed = json.load(file)
            return list(owed["events"]) if owed["step"] == self.step else []
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def owe_events(self, names: Sequence[str]) -> None:
        """Notes which events of the current step a stop cut short, in place of earlier notes.

        Raises:
            OSError: if the note cannot be written.
        """
        if not self._writes:
            return
        path = os.path.join(self.folder, _OWED_FILE)
        if names:
            write_json({"step": self.step, "events": list(names)}, path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def _keep_weights(self, name: str, record: dict | None = None) -> None:
        """Writes the weights into the subfolder of this name, and the record of their distance."""
        folder, step = os.path.join(self.folder, name), self.step
        try:
            if step != self.latest_step:
                self._announce_new_weights()
            os.makedirs(folder, exist_ok=True)
            _write(tf.train.Checkpoint(**_networks(self._model)), folder, keep=1, step=step)
            if record is not None:
                write_json(record, os.path.join(folder, _DISTANCE_FILE))
        except (tf.errors.OpError, OSError) as error:
            raise RunError(
                f"step {step}: the {name} checkpoint could not be written to {folder} "
                f"({one_line(error)})"
            ) from error

    def _announce_new_weights(self) -> None:
        """Calls `before_new_weights`, unless it has been called."""
        if self.before_new_weights is not None:
            self.before_new_weights()
            self.before_new_weights = None


def write_averages(folder: str, model: EnergyModel, *, step: int) -> None:
    """Writes a checkpoint of the averaged weights alone, a quarter of a whole checkpoint.

    `restore_weights` reads it. Training cannot continue from it.

    Args:
        folder: an existing folder of checkpoints.
        model: a model that keeps averaged weights.
        step: its training step.

    Raises:
        InvalidArgument: if it keeps no averages.
        OSError, tf.errors.OpError: if it cannot be written.
    """
    if model.ema_network is None:
        requirement = "keep averaged weights (config.optimizer.ema_momentum)"
        raise InvalidArgument("model", requirement, "a model without them")
    _write(tf.train.Checkpoint(ema_network=model.ema_network), folder, keep=1, step=step)


def restore_weights(folder: str, model: EnergyModel, which: str | int = "newest") -> int:
    """Loads a checkpoint's weights into a model that is used but not trained any further.

    Of a checkpoint of averaged weights alone (`write_averages`), both networks get the averages.

    Args:
        folder: a run's checkpoint folder.
        model: a model with the same network.
        which: "newest", "best", "guide", or the step of one that is kept.

    Returns:
        the step of the checkpoint.

    Raises:
        InvalidArgument: if there is no such checkpoint, or it belongs to another network.
        RunError: if all checkpoints are damaged, or that of the step is.
    """
    checkpoint = _Weights(model)
    steps = [_step_of(path) for path in _newest_first(folder)]
    if not steps:
        raise InvalidArgument("--workdir", "hold a checkpoint (train first)", folder)
    setting = _KEPT.get(str(which))
    if which != "newest" and setting is None:
        if which not in steps:
            names = ", ".join(["newest", *_KEPT])
            kept = f"be {names} or a step that is kept ({', '.join(map(str, steps))})"
            raise InvalidArgument("config.checkpoint", kept, which)
        _restore(checkpoint, _path_of(folder, int(which)))
        return int(which)
    if setting is not None:
        folder = os.path.join(folder, str(which))
        if not _newest_first(folder):
            requirement = f"be newest, as this run keeps no {which} one ({setting})"
            raise InvalidArgument("config.checkpoint", requirement, which)
    path = _restore_newest(checkpoint, folder)
    assert path is not None  # There is a checkpoint: it was restored, or an error was raised.
    return _step_of(path)


class _Weights:
    """A model's networks, restored as by `tf.train.Checkpoint`, or from averages alone."""

    def __init__(self, model: EnergyModel):
        self._model = model

    def restore(self, path: str) -> Any:
        """Restores the networks from a checkpoint's path; returns the status of TensorFlow."""
        averages = self._model.ema_network
        if averages is None or not _holds_averages_alone(path):
            return tf.train.Checkpoint(**_networks(self._model)).restore(path)
        status = tf.train.Checkpoint(ema_network=averages).restore(path)
        for raw, average in zip(self._model.network.variables, averages.variables, strict=True):
            raw.assign(average)
        return status


def _networks(model: EnergyModel) -> dict[str, keras.Model]:
    """The model's networks, under their names in a checkpoint."""
    networks = {"network": model.network}
    if model.ema_network is not None:
        networks["ema_network"] = model.ema_network
    return networks


def _holds_averages_alone(path: str) -> bool:
    """Whether `write_averages` wrote a checkpoint; False of one that cannot be read."""
    try:
        graph = tf.train.load_checkpoint(path).get_tensor(_OBJECT_GRAPH)
        root = TrackableObjectGraph.FromString(graph).nodes[0]
    except (tf.errors.OpError, ValueError, DecodeError, IndexError):
        return False  # Whoever restores it says why.
    return {"network", "ema_network"} & {child.local_name for child in root.children} == {
        "ema_network"
    }


def _smallest_distance(folder: str, measure: str) -> float:
    """The distance of the best checkpoint so far; infinite if there is none of this measure."""
    try:
        with open(os.path.join(folder, _DISTANCE_FILE), encoding="utf-8") as file:
            best = json.load(file)
        return best["distance"] if best["measure"] == measure else math.inf
    except (OSError, ValueError, KeyError):
        return math.inf


# Finding checkpoints


def newest_step(folder: str) -> int | None:
    """The step of a folder's newest checkpoint; None if it holds none."""
    return next((_step_of(path) for path in _newest_first(folder)), None)


def kept_guide_step(folder: str) -> int | None:
    """The step of the guide that a run's checkpoint folder keeps; None if it keeps none."""
    return newest_step(os.path.join(folder, "guide"))


def _newest_first(folder: str) -> list[str]:
    """Paths of a folder's checkpoints, from the newest to the oldest.

    The newest is the one that the file `checkpoint` names. If this file is missing or damaged,
    the newest is the one with the largest step among those that have an index file.
    """
    index_files = glob.glob(f"{glob.escape(folder)}/step-*.index")
    paths = [path.removesuffix(".index") for path in index_files]
    paths = sorted(paths, key=_step_of, reverse=True)
    newest = _named_as_newest(folder)
    if newest is None:
        return paths
    return [newest, *(path for path in paths if _step_of(path) < _step_of(newest))]


def _named_as_newest(folder: str) -> str | None:
    """The checkpoint that the file `checkpoint` names; None if it names none."""
    try:
        with plain_name(folder) as plain:
            path = tf.train.latest_checkpoint(plain)
    except (ValueError, FileNotFoundError):
        return None
    return path and os.path.join(folder, os.path.basename(path))


def _remove_empty_pointer(folder: str) -> None:
    """Removes a file `checkpoint` that names no checkpoint: the manager could not read it."""
    pointer = os.path.join(folder, "checkpoint")
    if os.path.exists(pointer) and _named_as_newest(folder) is None:
        os.remove(pointer)


def _path_of(folder: str, step: int) -> str:
    """The path of a step's checkpoint."""
    return os.path.join(folder, f"step-{step}")


def _step_of(path: str) -> int:
    """The step in a checkpoint's path."""
    return int(path.rsplit("-", 1)[1])


def _file_names(path: str) -> list[str]:
    """Names of a checkpoint's files."""
    return sorted(map(os.path.basename, glob.glob(f"{glob.escape(path)}.*")))


# Writing and restoring


def _write(checkpoint: tf.train.Checkpoint, folder: str, *, keep: int, step: int) -> None:
    """Writes a checkpoint, then its checksums, and removes all but the newest `keep` of them.

    Raises:
        OSError, tf.errors.OpError: if it cannot be written.
    """
    path = _path_of(folder, step)
    checksums.forget(folder, _file_names(path))
    with plain_name(folder) as plain:
        # The manager takes all that it has to know from the folder's file `checkpoint`.
        manager = tf.train.CheckpointManager(checkpoint, plain, keep, checkpoint_name="step")
        manager.save(checkpoint_number=step)
    checksums.record(folder, _file_names(path))
    sync(os.path.join(folder, "checkpoint"))


def _restore_newest(checkpoint: tf.train.Checkpoint | _Weights, folder: str) -> str | None:
    """Restores the newest undamaged checkpoint, with a warning about each damaged newer one.

    Returns:
        its path; None if the folder holds no checkpoint.

    Raises:
        InvalidArgument: if it belongs to another network.
        RunError: if there are checkpoints, and all are damaged.
    """
    damaged: list[RunError] = []
    for path in _newest_first(folder):
        try:
            _restore(checkpoint, path)
        except RunError as error:
            damaged.append(error)
            continue
        for error in damaged:
            _LOGGER.warning("%s; the checkpoint of step %d is used", error, _step_of(path))
        return path
    if damaged:
        raise damaged[0]
    return None


def _restore(checkpoint: tf.train.Checkpoint | _Weights, path: str) -> None:
    """Restores one checkpoint.

    Raises:
        InvalidArgument: if it belongs to another network.
        RunError: if it is damaged.
    """
    try:
        changed = checksums.changed_file(os.path.dirname(path), _file_names(path))
        if changed:
            raise RunError(f"{path} cannot be read ({changed} has changed since it was written)")
        with plain_name(os.path.dirname(path)) as plain:
            status = checkpoint.restore(os.path.join(plain, os.path.basename(path)))
        status.assert_existing_objects_matched()
        status.expect_partial()
    except (ValueError, AssertionError) as error:
        requirement = f"hold a checkpoint of this network ({one_line(error)})"
        raise InvalidArgument("--workdir", requirement, path) from error
    except (tf.errors.OpError, OSError, IndexError) as error:
        raise RunError(f"{path} cannot be read ({one_line(error)})") from error
