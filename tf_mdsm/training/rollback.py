"""What a run whose loss was not finite does next: back to its last checkpoint, and on more slowly.

Each time is noted in a file beside the checkpoints, so that a run that is killed and started
again goes on at the same rate.
"""

import json
import os

from tf_mdsm.errors import RunError
from tf_mdsm.system.atomic import atomic_write

__all__ = ["LossNotFinite", "read_rollbacks", "record_rollback"]

_NAME = "rollbacks.json"


class LossNotFinite(RunError):
    """The loss, or the norm of its gradient, is not a finite number.

    Args:
        step: the first such step.
        checkpoint_step: of the newest checkpoint, from before it; none if there is none.
    """

    def __init__(self, step: int, checkpoint_step: int | None):
        self.step, self.checkpoint_step = step, checkpoint_step
        kept = f"checkpoint of step {checkpoint_step} is kept"
        if checkpoint_step is None:
            kept = "no checkpoint was written"
        super().__init__(f"step {step}: the loss is not finite; {kept}")


def read_rollbacks(folder: str) -> list[dict[str, int]]:
    """The rollbacks so far, each `{"from": step, "to": step}`.

    Raises:
        RunError: for a file that is damaged, as the rate follows from it.
    """
    path = os.path.join(folder, _NAME)
    if not os.path.exists(path):
        return []
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        return [{"from": int(one["from"]), "to": int(one["to"])} for one in found]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error})") from error


def record_rollback(folder: str, lost: LossNotFinite) -> None:
    """Adds one.

    Raises:
        OSError: if it cannot be written.
    """
    rollbacks = [*read_rollbacks(folder), {"from": lost.step, "to": lost.checkpoint_step or 0}]
    path = os.path.join(folder, _NAME)
    with atomic_write(path) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(rollbacks, file)
        file.write("\n")
