"""Rollback after a non-finite loss: back to the last checkpoint, with a lower learning rate.

Each rollback is recorded in a file next to the checkpoints. The learning rate follows from their
number, so a run that is killed and started again continues with the same rate.
"""

import json
import logging
import os

from tf_mdsm.errors import RunError
from tf_mdsm.system.atomic import write_json
from tf_mdsm.training.session import TrainingSession

__all__ = [
    "NonFiniteLoss",
    "prepare_rollback",
    "rate_factor",
    "read_rollbacks",
    "record_rollback",
]

_LOGGER = logging.getLogger(__name__)

_FILE_NAME = "rollbacks.json"


class NonFiniteLoss(RunError):
    """The loss, or the norm of its gradient, is infinite or not a number.

    Args:
        step: the first step with such a value.
        checkpoint_step: step of the newest checkpoint before it; None if there is none.
    """

    def __init__(self, step: int, checkpoint_step: int | None):
        self.step, self.checkpoint_step = step, checkpoint_step
        checkpoint = "no checkpoint was written"
        if checkpoint_step is not None:
            checkpoint = f"checkpoint of step {checkpoint_step} is kept"
        super().__init__(f"step {step}: the loss is not finite; {checkpoint}")


def prepare_rollback(session: TrainingSession, error: NonFiniteLoss) -> None:
    """Decides on a rollback: records it, so that the next session starts at the last checkpoint.

    Raises:
        NonFiniteLoss: the same error, if no more rollbacks are allowed.
        RunError: with several workers: a process can join the others only once, so all of them
            must be started again.
    """
    settings, workers, folder = session.settings, session.workers, session.checkpoints.folder
    if len(read_rollbacks(folder)) >= settings.max_rollbacks:
        raise error
    if workers.is_chief:
        with workers.errors_at(f"step {error.step}"):
            record_rollback(folder, error)
    factor = rate_factor(folder, settings.rollback_rate)
    step = error.checkpoint_step or 0
    _LOGGER.warning(
        "%s; continuing from step %d at %g times the learning rate", error, step, factor
    )
    if workers.world_size > 1:
        again = "start all workers again to continue at a lower rate"
        raise RunError(f"{error}; {again}") from error


def rate_factor(folder: str, rollback_rate: float) -> float:
    """The factor on all learning rates: `rollback_rate` once for each rollback of a run so far.

    Args:
        folder: the run's checkpoint folder.
        rollback_rate: factor of one rollback, in (0, 1].

    Raises:
        RunError: if the record of rollbacks is damaged.
    """
    return rollback_rate ** len(read_rollbacks(folder))


def read_rollbacks(folder: str) -> list[dict[str, int]]:
    """The rollbacks of a run so far, each `{"from": step, "to": step}`.

    Args:
        folder: the run's checkpoint folder.

    Raises:
        RunError: for a damaged file. It is not ignored, as the learning rate follows from it.
    """
    path = os.path.join(folder, _FILE_NAME)
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            rollbacks = json.load(file)
        return [{"from": int(one["from"]), "to": int(one["to"])} for one in rollbacks]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error})") from error


def record_rollback(folder: str, error: NonFiniteLoss) -> None:
    """Adds to the record a rollback from the error's step to its checkpoint.

    Args:
        folder: the run's checkpoint folder.
        error: the error that caused the rollback.

    Raises:
        OSError: if the file cannot be written.
        RunError: if the record so far is damaged.
    """
    rollback = {"from": error.step, "to": error.checkpoint_step or 0}
    rollbacks = [*read_rollbacks(folder), rollback]
    write_json(rollbacks, os.path.join(folder, _FILE_NAME))
