"""`--mode=train`: trains a run from its newest checkpoint, and can be stopped at any moment."""

import contextlib
import logging

from ml_collections import ConfigDict

from tf_mdsm.runs.build_session import open_session
from tf_mdsm.system.signals import stop_on_signals
from tf_mdsm.training.loop import train_to_end
from tf_mdsm.training.rollback import NonFiniteLoss, prepare_rollback

__all__ = ["train"]

_LOGGER = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: str) -> list[str]:
    """Trains until `config.training.num_steps`, from the newest checkpoint if there is one.

    SIGTERM, SIGINT, SIGHUP and SIGUSR1 end the run after the current compiled call, with a
    checkpoint. Of several workers the chief alone writes and logs; all of them read `workdir`,
    which they share. If the loss is not finite, the run returns to its last checkpoint and
    continues at a lower learning rate, as often as `config.training.max_rollbacks` allows. A signal
    that comes before such a return, or during it, ends the run there.

    Returns:
        an empty list. (Other modes return the files that they wrote.)

    Raises:
        InvalidArgument: for settings, data or a folder that cannot be used, before step 1.
        KeyboardInterrupt: after a SIGINT, when everything is saved.
        RunError: if the loss is not finite and no rollback is left, if a checkpoint cannot be
            written or read, or if a worker is lost.
    """
    with contextlib.ExitStack() as opened:
        session = opened.enter_context(open_session(config, workdir))
        # Signals are recorded over all rollbacks, and not while the first session is opened:
        # there is nothing to save yet.
        with stop_on_signals() as stop_requested:
            while True:
                try:
                    train_to_end(session, stop_requested)
                    return []
                except NonFiniteLoss as error:
                    prepare_rollback(session, error)
                    step = error.checkpoint_step or 0
                opened.close()
                if stop_requested():
                    _LOGGER.info("step %d: stopped; run again to continue", step)
                    return []
                session = opened.enter_context(open_session(config, workdir))
