"""The training loop: compiled steps, with logging, validation, previews, checkpoints between."""

import dataclasses
import logging
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.system.progress import progress_bar
from tf_mdsm.training.rollback import NonFiniteLoss
from tf_mdsm.training.session import TrainingSession

__all__ = ["train_to_end"]

_LOGGER = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Event:
    """Something that happens at regular training steps.

    Attributes:
        name: by which a stop that cuts it short notes it, so that it is made up later.
        interval: in training steps; 0 means never.
        action: a function of the step; it returns False if a stop cut it short.
        on_this_worker: whether this worker takes part; all workers stop at the step.
    """

    name: str
    interval: int
    action: Callable[[int], bool | None]
    on_this_worker: bool = True

    def next_step(self, step: int) -> int:
        """The first step after `step` at which the event happens; 2^31 if it never does."""
        return (step // self.interval + 1) * self.interval if self.interval else 2**31

    def is_due(self, step: int) -> bool:
        """Whether this worker runs the event after training step `step`."""
        return bool(self.on_this_worker and self.interval and step % self.interval == 0)


def train_to_end(
    session: TrainingSession, stop_requested: Callable[[], bool] = lambda: False
) -> None:
    """Trains until `session.settings.num_steps` or a request to stop, then saves a checkpoint.

    What a stop cuts short, the next call makes up before it trains, so that a stopped run evaluates
    and shows the same steps as another one.

    Args:
        session: an open session.
        stop_requested: asked before every compiled call; a stop on one worker stops all.

    Raises:
        NonFiniteLoss: if the loss or its gradient is NaN or infinite; nothing is saved then.
        RunError: if a checkpoint cannot be written, or another worker is lost.
    """
    settings, checkpoints, workers = session.settings, session.checkpoints, session.workers
    events = _events(session, stop_requested)
    step, last = checkpoints.step, settings.num_steps
    owed = _run_owed_events(session, events)
    with progress_bar("training", last, "step", step) as bar:
        while step < last:
            # Train up to the next event, in one compiled call.
            with workers.errors_at(f"step {step + 1}"):
                if workers.any(stop_requested()):
                    break
                next_event = min(event.next_step(step) for event in events)
                count = min(settings.steps_per_call, next_event - step, last - step)
                started = time.monotonic()
                history = session.run_steps(session.batches, tf.constant(count)).numpy()
            session.monitor.count_steps(count, time.monotonic() - started)
            _require_finite(history, step, checkpoints.latest_step)
            step += count
            bar.update(count)
            bar.set_postfix(loss=f"{history[-1, 0]:.4g}", refresh=False)
            owed = _run_events(session, events, step)
        with workers.errors_at(f"step {step}"):
            _save(session)
            workers.barrier()
    ending = "stopped; run again to continue" if step < last or owed else "finished"
    _LOGGER.info("step %d: %s", step, ending)


def _run_events(session: TrainingSession, events: Sequence[_Event], step: int) -> list[str]:
    """Runs those of the events that are due at this step.

    Returns:
        names of those that a stop cut short. Each is noted on the disk at once.
    """
    owed = []
    for event in events:
        if event.is_due(step):
            with session.workers.errors_at(f"step {step}"):
                if event.action(step) is False:
                    owed.append(event.name)
                    session.checkpoints.owe_events(owed)
    return owed


def _run_owed_events(session: TrainingSession, events: Sequence[_Event]) -> list[str]:
    """Runs the events that the checkpoint's step still owes; returns the names of the rest."""
    checkpoints, step = session.checkpoints, session.checkpoints.step
    names = checkpoints.owed_events()
    owed = _run_events(session, [event for event in events if event.name in names], step)
    with session.workers.errors_at(f"step {step}"):
        if names:
            session.monitor.flush()
        # Also a note of another step, whose checkpoint is damaged or was never written, goes.
        checkpoints.owe_events(owed)
    return owed


def _events(session: TrainingSession, stop_requested: Callable[[], bool]) -> list[_Event]:
    """The events between compiled calls. Several at one step run in this order."""
    settings, monitor = session.settings, session.monitor
    is_chief = session.workers.is_chief
    keep_if_best = session.checkpoints.keep_if_best
    keep_as_guide = session.checkpoints.keep_as_guide
    return [
        _Event("log", settings.log_every, monitor.log),
        _Event("validate", settings.validate_every, monitor.validate, on_this_worker=is_chief),
        _Event(
            "evaluate",
            settings.evaluate_every,
            lambda step: monitor.evaluate_samples(step, keep_if_best, stop_requested),
            on_this_worker=is_chief,
        ),
        # Before the checkpoint of the same step: a run that resumes there keeps no guide any more.
        _Event(
            "guide",
            settings.guide_step,
            lambda step: keep_as_guide() if step == settings.guide_step else None,
            on_this_worker=is_chief,
        ),
        _Event("checkpoint", settings.checkpoint_every, lambda step: _save(session)),
        _Event(
            "sample",
            settings.sample_every,
            lambda step: monitor.preview(step, stop_requested),
            on_this_worker=is_chief,
        ),
    ]


def _save(session: TrainingSession) -> None:
    """Saves a checkpoint, after TensorBoard's data of all earlier steps is written."""
    session.monitor.flush()
    session.checkpoints.save()


def _require_finite(history: np.ndarray, step: int, checkpoint_step: int | None) -> None:
    """Refuses losses and gradient norms [steps, 2] that are not finite.

    Raises:
        NonFiniteLoss: naming the first such step.
    """
    finite = np.isfinite(history).all(axis=1)
    if not finite.all():
        raise NonFiniteLoss(step + int(np.argmin(finite)) + 1, checkpoint_step)
