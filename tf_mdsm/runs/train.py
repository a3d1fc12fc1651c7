"""`--mode=train`: trains a run from its newest checkpoint, and can be stopped at any moment."""

import logging

from ml_collections import ConfigDict

from tf_mdsm.errors import RunError
from tf_mdsm.runs.build_session import open_session
from tf_mdsm.system.signals import stop_on_signals
from tf_mdsm.training.loop import train_to_end
from tf_mdsm.training.rollback import NonFiniteLoss, read_rollbacks, record_rollback
from tf_mdsm.training.session import TrainingSession

__all__ = ["train"]

_LOGGER = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: str) -> list[str]:
    """Trains until `config.training.num_steps`, from the newest checkpoint if there is one.

    SIGTERM and SIGINT end the run after the current step, with a checkpoint. Of several workers
    the chief alone writes and logs; all of them read `workdir`, which they share. If the loss is
    not finite, the run returns to its last checkpoint and continues at a lower learning rate, as
    often as `config.training.max_rollbacks` allows.

    Returns:
        no paths: what training writes has fixed places in the run's folder.

    Raises:
        InvalidArgument: for settings, data or a folder that cannot be used, before step 1.
        KeyboardInterrupt: after a SIGINT, when everything is saved.
        RunError: if the loss is not finite, a checkpoint cannot be written or read, or a worker
            is lost.
    """
    while True:
        with open_session(config, workdir) as session, stop_on_signals() as stop_requested:
            try:
                train_to_end(session, stop_requested)
                return []
            except NonFiniteLoss as error:
                _prepare_rollback(session, error)


def _prepare_rollback(session: TrainingSession, error: NonFiniteLoss) -> None:
    """Records a rollback to the last checkpoint, so that the next session starts from there.

    Raises:
        NonFiniteLoss: if no more rollbacks are allowed.
        RunError: with several workers, which can meet only once in a process.
    """
    settings, workers = session.settings, session.workers
    count = len(read_rollbacks(session.checkpoints.folder)) + 1
    if count > settings.max_rollbacks:
        raise error
    if workers.is_chief:
        with workers.errors_at(f"step {error.step}"):
            record_rollback(session.checkpoints.folder, error)
    factor = settings.rollback_rate**count
    _LOGGER.warning("%s; continuing from there at %g of the learning rate", error, factor)
    if workers.world_size > 1:
        again = "start all workers again to continue at a lower rate"
        raise RunError(f"{error}; {again}") from error
