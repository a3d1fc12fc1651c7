"""The training run: goes on where its folder stands, and can be stopped at any moment."""

import logging
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.errors import RunError
from tf_mdsm.system.progress import progress_bar
from tf_mdsm.system.signals import stop_on_signals
from tf_mdsm.training.checkpoints import TrainingCheckpoints
from tf_mdsm.training.monitor import TrainingMonitor
from tf_mdsm.training.rollback import NonFiniteLoss, read_rollbacks, record_rollback
from tf_mdsm.training.session import Run, naming, prepared

__all__ = ["run_to_end", "train"]

_LOGGER = logging.getLogger(__name__)


def train(config: ConfigDict, workdir: str) -> None:
    """Trains until `config.training.num_steps`, from the newest checkpoint if there is one.

    SIGTERM and SIGINT end the run after the step in hand, with a checkpoint. Of several workers
    the chief writes and is heard; all read `workdir`, which they share. Where the loss is not
    finite the run goes back to the last checkpoint, and on at a lower rate, as often as
    `config.training.max_rollbacks` allows.

    Raises:
        InvalidArgument: for settings, data or a folder that cannot be used, before step 1.
        KeyboardInterrupt: after a SIGINT, when all is saved.
        RunError: if the loss is not finite, a checkpoint cannot be written or read, or a worker
            is lost.
    """
    while not _train_until_lost(config, workdir):
        pass


def _train_until_lost(config: ConfigDict, workdir: str) -> bool:
    """Trains; False if the loss was not finite, and the run may go on from its checkpoint."""
    with prepared(config, workdir) as run, stop_on_signals() as stop_requested:
        try:
            run_to_end(run, stop_requested)
            return True
        except NonFiniteLoss as lost:
            count = len(read_rollbacks(run.checkpoints.folder)) + 1
            if count > run.settings.max_rollbacks:
                raise
            if run.workers.is_chief:
                with naming(f"step {lost.step}", run.workers):
                    record_rollback(run.checkpoints.folder, lost)
            rate = run.settings.rollback_rate**count
            _LOGGER.warning("%s; on from there at %g of the learning rate", lost, rate)
            if run.workers.place.count > 1:
                # Workers meet once in a process.
                again = "start all workers again to go on at a lower rate"
                raise RunError(f"{lost}; {again}") from lost
    return False


def run_to_end(run: Run, stop_requested: Callable[[], bool] = lambda: False) -> None:
    """Trains until `run.settings.num_steps`, or until it is asked to stop; ends with a checkpoint.

    Raises:
        RunError: as `train`.
    """
    settings, checkpoints = run.settings, run.checkpoints
    observer, workers = run.observer, run.workers
    step, last = checkpoints.step, settings.num_steps
    # What happens at which intervals, and whether this worker takes part.
    events = (
        (observer.log, settings.log_every, True),
        (observer.validate, settings.validate_every, workers.is_chief),
        (
            lambda step: observer.appraise(step, checkpoints.keep_if_best, stop_requested),
            settings.evaluate_every,
            workers.is_chief,
        ),
        (lambda _: _save(checkpoints, observer), settings.checkpoint_every, True),
        (
            lambda step: observer.preview(step, stop_requested),
            settings.sample_every,
            workers.is_chief,
        ),
    )
    with progress_bar("training", last, "step", step) as bar:
        while step < last:
            with naming(f"step {step + 1}", workers):
                if workers.any(stop_requested()):
                    break
                until = min(_next_multiple(step, every) for _, every, _ in events)
                count = min(settings.steps_per_call, until - step, last - step)
                started = time.monotonic()
                history = run.run_steps(run.batches, tf.constant(count)).numpy()
            observer.count(count, time.monotonic() - started)
            _require_finite(history, step, checkpoints.latest_step)
            step += count
            bar.update(count)
            bar.set_postfix(loss=f"{history[-1, 0]:.4g}", refresh=False)
            for happen, every, takes_part in events:
                if takes_part and every and step % every == 0:
                    with naming(f"step {step}", workers):
                        happen(step)
        with naming(f"step {step}", workers):
            _save(checkpoints, observer)
            workers.wait_for_each_other()
    ending = "finished" if step == last else "stopped; run again to continue"
    _LOGGER.info("step %d: %s", step, ending)


def _next_multiple(step: int, every: int) -> int:
    """The first multiple of an interval after a step; none for 0."""
    return (step // every + 1) * every if every else 2**31


def _save(checkpoints: TrainingCheckpoints, observer: TrainingMonitor) -> None:
    # Events first: what a checkpoint has seen must be in the event file when it is restored.
    observer.monitor.flush()
    checkpoints.save()


def _require_finite(history: np.ndarray, step: int, checkpoint_step: int | None) -> None:
    finite = np.isfinite(history).all(axis=1)
    if not finite.all():
        raise NonFiniteLoss(step + int(np.argmin(finite)) + 1, checkpoint_step)
