"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import glob
import json
import math
import os

import keras
import tensorflow as tf

from tf_mdsm.energy import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.files import written_whole

__all__ = ["TrainingCheckpoints", "restore_for_use"]

# The folder of the best checkpoint among the newest ones.
_BEST = "best"


class TrainingCheckpoints:
    """Network, optimiser, averaged weights, running metrics and step under one folder.

    TensorFlow writes a checkpoint's files first and the folder's pointer to it last, by an
    atomic rename: a process killed at any moment leaves the previous checkpoint valid.

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
    def latest_step(self) -> int | None:
        """Step of the newest checkpoint, if there is one."""
        path = _newest(self._manager.directory)
        return path and _step_of(path)

    def restore_latest(self) -> None:
        """Brings the model to the newest checkpoint, if there is one.

        Raises:
            InvalidArgument: if it holds another network.
            RunError: if it cannot be read.
        """
        path = _newest(self._manager.directory)
        if path:
            _restore(self._checkpoint, path)
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
            manager.save(checkpoint_number=self.step)
            with written_whole(score) as partial, open(partial, "w", encoding="utf-8") as file:
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
        if not self._writes or step == self.latest_step:
            return
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            raise RunError(
                f"step {step}: the checkpoint could not be written to "
                f"{self._manager.directory} ({one_line(error)})"
            ) from error


def restore_for_use(folder: str, model: EnergyModel, which: str = "newest") -> int:
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
    path = _newest(folder)
    if path is None:
        raise InvalidArgument("--workdir", "hold a checkpoint (train first)", folder)
    if which == "best":
        path = _newest(os.path.join(folder, _BEST))
        if path is None:
            kept = "be newest, as this run keeps no best one (training.evaluate_every)"
            raise InvalidArgument("config.checkpoint", kept, which)
    _restore(tf.train.Checkpoint(**_used_parts(model)), path)
    return _step_of(path)


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


def _newest(folder: str) -> str | None:
    """The checkpoint that the folder's pointer names, or, should the pointer be lost, the newest
    whose index can be read."""
    path = _pointed_at(folder)
    if path:
        return path
    found = [
        name.removesuffix(".index") for name in glob.glob(f"{glob.escape(folder)}/step-*.index")
    ]
    for path in sorted(found, key=_step_of, reverse=True):
        try:
            tf.train.load_checkpoint(path)
        except (tf.errors.OpError, ValueError):
            continue
        return path
    return None


def _step_of(path: str) -> int:
    return int(path.rsplit("-", 1)[1])


def _restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    try:
        status = checkpoint.restore(path)
        status.assert_existing_objects_matched()
        status.expect_partial()
    except (ValueError, AssertionError) as error:
        ours = f"hold a checkpoint of this network ({one_line(error)})"
        raise InvalidArgument("--workdir", ours, path) from error
    except (tf.errors.OpError, OSError, IndexError) as error:
        raise RunError(f"{path} cannot be read ({one_line(error)})") from error
