"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import glob
import json
import logging
import math
import os

import keras
import tensorflow as tf

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system import checksums
from tf_mdsm.system.atomic import atomic_write

__all__ = ["TrainingCheckpoints", "restore_weights"]

_LOGGER = logging.getLogger(__name__)

# The folder of the best checkpoint among the newest ones.
_BEST = "best"


class TrainingCheckpoints:
    """Network, optimiser, averaged weights, running metrics and step under one folder.

    TensorFlow writes a checkpoint's files first and the folder's pointer to it last, by an
    atomic rename: a process killed at any moment leaves the previous checkpoint valid. Then their
    checksums are noted. One that is not as it was written is passed over for the one before.

    Args:
        folder: where they are kept.
        model: a compiled model.
        keep: how many to keep, the newest.
        writes: whether this process writes them; among several workers the chief alone does.
    """

    def __init__(self, folder: str, model: EnergyModel, keep: int, writes: bool = True):
        self._model, self._writes = model, writes
        parts = {**_used_parts(model), "optimizer": model.optimizer}
        # A metric's variable has a part on every replica, and all workers have to ask for its
        # sum. So they do before a checkpoint, which one of them can write by itself.
        self._metrics = [v.value for metric in model.metrics for v in metric.variables]
        self._sums = parts["metrics"] = [tf.Variable(tf.zeros(v.shape)) for v in self._metrics]
        self._checkpoint = tf.train.Checkpoint(**parts)
        # Step of the checkpoint that was restored or saved last, if there is one.
        self.latest_step: int | None = None
        if writes:
            _drop_empty_pointer(folder)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, folder, max_to_keep=keep, checkpoint_name="step"
        )

    @property
    def step(self) -> int:
        """Updates done by the model."""
        return int(self._model.optimizer.iterations.numpy())

    @property
    def folder(self) -> str:
        """Where they are kept."""
        return self._manager.directory

    def restore_latest(self) -> None:
        """Brings the model to the newest checkpoint that is whole, if there is any at all.

        Raises:
            InvalidArgument: if it holds another network.
            RunError: if none can be read.
        """
        path = _restore_newest(self._checkpoint, self._manager.directory)
        if path:
            self.latest_step = _step_of(path)
            for metric, total in zip(self._metrics, self._sums, strict=True):
                metric.assign(total)

    def keep_if_best(self, distance: float, measure: str) -> None:
        """Keeps the weights besides the newest ones if no earlier ones had a smaller distance.

        Args:
            distance: of these weights' samples.
            measure: how it was taken; distances by another one are not compared.

        Raises:
            RunError: if they cannot be written.
        """
        folder = os.path.join(self._manager.directory, _BEST)
        score = os.path.join(folder, "distance.json")
        try:
            with open(score, encoding="utf-8") as file:
                best = json.load(file)
            smallest = best["distance"] if best["measure"] == measure else math.inf
        except (OSError, ValueError, KeyError):
            smallest = math.inf
        if distance >= smallest:
            return
        try:
            manager = tf.train.CheckpointManager(
                tf.train.Checkpoint(**_used_parts(self._model)), folder, 1, checkpoint_name="step"
            )
            _write(manager, self.step)
            with atomic_write(score) as partial, open(partial, "w", encoding="utf-8") as file:
                json.dump({"distance": distance, "step": self.step, "measure": measure}, file)
        except (tf.errors.OpError, OSError) as error:
            raise RunError(
                f"step {self.step}: the best checkpoint could not be written to {folder} "
                f"({one_line(error)})"
            ) from error

    def save(self) -> None:
        """Writes a checkpoint of the current step, unless it is the one already there.

        Called by all workers together.

        Raises:
            RunError: if it cannot be written; those before it stay valid.
        """
        step = self.step
        for metric, total in zip(self._metrics, self._sums, strict=True):
            total.assign(metric)
        if step == self.latest_step:
            return
        try:
            if self._writes:
                _write(self._manager, step)
            self.latest_step = step
        except (tf.errors.OpError, OSError) as error:
            raise RunError(
                f"step {step}: the checkpoint could not be written to "
                f"{self._manager.directory} ({one_line(error)})"
            ) from error


def restore_weights(folder: str, model: EnergyModel, which: str = "newest") -> int:
    """Loads a checkpoint's weights into a model that will not be trained on.

    Args:
        folder: a run's checkpoints.
        model: its network.
        which: "newest" or "best".

    Returns:
        the step at which it was written.

    Raises:
        InvalidArgument: if there is none, or it holds another network.
        RunError: if it cannot be read.
    """
    if not _newest_first(folder):
        raise InvalidArgument("--workdir", "hold a checkpoint (train first)", folder)
    if which == "best":
        folder = os.path.join(folder, _BEST)
        if not _newest_first(folder):
            kept = "be newest, as this run keeps no best one (training.evaluate_every)"
            raise InvalidArgument("config.checkpoint", kept, which)
    return _step_of(_restore_newest(tf.train.Checkpoint(**_used_parts(model)), folder))


def _used_parts(model: EnergyModel) -> dict[str, keras.Model]:
    """What of a checkpoint is used after training."""
    parts = {"network": model.network}
    if model.ema_network is not None:
        parts["ema_network"] = model.ema_network
    return parts


def _drop_empty_pointer(folder: str) -> None:
    """Removes a file `checkpoint` that names nothing, which the manager would stumble over."""
    pointer = os.path.join(folder, "checkpoint")
    if os.path.exists(pointer) and _pointed_at(folder) is None:
        os.remove(pointer)


def _pointed_at(folder: str) -> str | None:
    try:
        return tf.train.latest_checkpoint(folder)
    except ValueError:
        return None


def _newest_first(folder: str) -> list[str]:
    """The checkpoint that the folder's pointer names, then those before it; should the pointer be
    lost, all whose index is there."""
    names = glob.glob(f"{glob.escape(folder)}/step-*.index")
    found = sorted((name.removesuffix(".index") for name in names), key=_step_of, reverse=True)
    path = _pointed_at(folder)
    if path is None:
        return found
    return [path, *(other for other in found if _step_of(other) < _step_of(path))]


def _step_of(path: str) -> int:
    return int(path.rsplit("-", 1)[1])


def _files(path: str) -> list[str]:
    """Names of a checkpoint's files."""
    return sorted(map(os.path.basename, glob.glob(f"{glob.escape(path)}.*")))


def _write(manager: tf.train.CheckpointManager, step: int) -> None:
    """Writes a checkpoint, and then its checksums.

    Raises:
        OSError: and TensorFlow's, if it cannot be written.
    """
    folder = manager.directory
    checksums.forget(folder, _files(os.path.join(folder, f"step-{step}")))
    checksums.record(folder, _files(manager.save(checkpoint_number=step)))


def _restore_newest(checkpoint: tf.train.Checkpoint, folder: str) -> str | None:
    """Restores the newest checkpoint that is whole, says which ones are not, and returns its path;
    none where there is no checkpoint.

    Raises:
        InvalidArgument: if it holds another network.
        RunError: if there are some, and none is whole.
    """
    damaged: list[RunError] = []
    for path in _newest_first(folder):
        try:
            _restore(checkpoint, path)
        except RunError as error:
            damaged.append(error)
            continue
        for error in damaged:
            _LOGGER.warning("%s; the one of step %d is taken", error, _step_of(path))
        return path
    if damaged:
        raise damaged[0]
    return None


def _restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    try:
        changed = checksums.changed_file(os.path.dirname(path), _files(path))
        if changed:
            raise RunError(f"{path} cannot be read ({changed} is not as it was written)")
        status = checkpoint.restore(path)
        status.assert_existing_objects_matched()
        status.expect_partial()
    except (ValueError, AssertionError) as error:
        ours = f"hold a checkpoint of this network ({one_line(error)})"
        raise InvalidArgument("--workdir", ours, path) from error
    except (tf.errors.OpError, OSError, IndexError) as error:
        raise RunError(f"{path} cannot be read ({one_line(error)})") from error
