"""The training loop: what happens at which step, how it stops, which errors end it."""

import logging
import types

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.distributed.workers import Workers
from tf_mdsm.errors import RunError
from tf_mdsm.training.loop import train_to_end
from tf_mdsm.training.rollback import NonFiniteLoss
from tf_mdsm.training.session import LoopSettings, TrainingSession

NEVER = {
    "guide_step": 0,
    **{f"{event}_every": 0 for event in ("log", "validate", "evaluate", "checkpoint", "sample")},
}


class Run:
    """A run that trains nothing and records in `calls` what the loop does, with its step."""

    def __init__(self, step: int = 0, owed=(), **settings):
        self.step, self.calls, self.history, self.notes = step, [], {}, []
        settings = {"num_steps": 20, "steps_per_call": 100, **NEVER, **settings}
        monitor = types.SimpleNamespace(
            count_steps=self._count,
            flush=lambda: self._note("flush"),
            log=lambda step: self._note("log", step),
            validate=lambda step: self._note("validate", step),
            evaluate_samples=lambda step, keep, stop: self._note("evaluate", step),
            preview=lambda step, stop: self._note("preview", step),
        )
        self.session = TrainingSession(
            settings=LoopSettings(**settings, max_rollbacks=0, rollback_rate=1.0),
            model=None,
            run_steps=self._run_steps,
            batches=None,
            checkpoints=types.SimpleNamespace(
                step=step,
                latest_step=step,
                save=lambda: self._note("save"),
                keep_if_best=None,
                keep_as_guide=lambda: self._note("guide"),
                owed_events=lambda: list(owed),
                owe_events=lambda names: self.notes.append((self.step, list(names))),
            ),
            monitor=monitor,
            workers=Workers(tf.distribute.get_strategy()),
        )

    def named(self, *names: str) -> list[tuple[str, int]]:
        """The calls of some names, in their order."""
        return [call for call in self.calls if call[0] in names]

    def _note(self, name: str, step: int | None = None) -> None:
        assert step in (None, self.step)
        self.calls.append((name, self.step))

    def _run_steps(self, batches, count: tf.Tensor) -> tf.Tensor:
        steps = range(self.step + 1, self.step + int(count) + 1)
        self.step += int(count)
        return tf.constant([self.history.get(step, (1.0, 1.0)) for step in steps])

    def _count(self, steps: int, seconds: float) -> None:
        assert seconds >= 0
        self.calls.append(("train", steps))


def test_calls_end_at_the_next_event():
    run = Run(steps_per_call=7, log_every=4, validate_every=10)
    train_to_end(run.session)
    assert run.named("train") == [("train", steps) for steps in (4, 4, 2, 2, 4, 4)]
    assert run.named("log", "validate") == [
        *(("log", 4), ("log", 8), ("validate", 10), ("log", 12), ("log", 16)),
        *(("log", 20), ("validate", 20)),
    ]
    assert run.calls[-2:] == [("flush", 20), ("save", 20)]


def test_the_guide_is_kept_once():
    run = Run(guide_step=6)
    train_to_end(run.session)
    assert run.named("guide") == [("guide", 6)]
    assert run.step == 20


def test_a_call_has_a_largest_number_of_steps():
    run = Run(steps_per_call=7)
    train_to_end(run.session)
    assert run.calls == [*(("train", steps) for steps in (7, 7, 6)), ("flush", 20), ("save", 20)]


def test_a_resumed_run_keeps_the_steps_of_its_events():
    run = Run(step=5, log_every=4, checkpoint_every=6)
    train_to_end(run.session)
    assert run.named("train") == [("train", steps) for steps in (1, 2, 4, 4, 2, 2)]
    assert run.named("log") == [("log", step) for step in (8, 12, 16, 20)]
    assert run.named("save") == [("save", step) for step in (6, 12, 18, 20)]


def test_a_finished_run_is_not_trained():
    run = Run(step=20, log_every=1)
    train_to_end(run.session)
    assert run.calls == [("flush", 20), ("save", 20)]


def test_the_order_of_events_at_one_step():
    """Events and guide are on the disk before the checkpoint is, so that no kill loses them."""
    run = Run(num_steps=3, **dict.fromkeys(NEVER, 3))
    train_to_end(run.session)
    names = ["train", "log", "validate", "evaluate", "guide", "flush", "save", "preview"]
    assert [name for name, _ in run.calls] == [*names, "flush", "save"]


def test_other_workers_stop_at_all_steps_but_leave_pictures_to_the_chief():
    run = Run(num_steps=6, log_every=3, validate_every=2, evaluate_every=4, sample_every=5)
    run.session.workers.rank = 1
    train_to_end(run.session)
    assert run.named("train") == [("train", steps) for steps in (2, 1, 1, 1, 1)]
    assert [call for call in run.calls if call[0] != "train"] == [
        *(("log", 3), ("log", 6), ("flush", 6), ("save", 6))
    ]


def test_a_request_to_stop_is_asked_for_before_every_call(caplog):
    run = Run(steps_per_call=6, log_every=4)
    with caplog.at_level(logging.INFO, "tf_mdsm"):
        train_to_end(run.session, lambda: run.step >= 8)
    assert run.calls == [
        *(("train", 4), ("log", 4), ("train", 4), ("log", 8), ("flush", 8), ("save", 8))
    ]
    assert caplog.messages == ["step 8: stopped; run again to continue"]


def test_the_request_reaches_previews():
    """They end early then; without this a long preview would delay the stop."""
    run, given = Run(num_steps=1, sample_every=1, evaluate_every=1), []
    run.session.monitor.preview = lambda step, stop: given.append(stop)
    run.session.monitor.evaluate_samples = lambda step, keep, stop: given.append(stop)
    requests = iter([False, True, True])

    def stop_requested() -> bool:
        return next(requests)

    train_to_end(run.session, stop_requested)
    assert [stop() for stop in given] == [True, True]


def cut_short(run: Run, name: str) -> None:
    """Makes evaluation or preview end early, after it is noted in the run's calls."""
    original = getattr(run.session.monitor, name)

    def ends_early(*arguments) -> bool:
        original(*arguments)
        return False

    setattr(run.session.monitor, name, ends_early)


def test_what_a_stop_cuts_short_is_noted(caplog):
    """At once, as the step's checkpoint may be the last one."""
    run = Run(**dict.fromkeys(("evaluate_every", "checkpoint_every", "sample_every"), 4))
    cut_short(run, "evaluate_samples")
    cut_short(run, "preview")
    noted_at_save = []
    run.session.checkpoints.save = lambda: noted_at_save.append(list(run.notes))
    with caplog.at_level(logging.INFO, "tf_mdsm"):
        train_to_end(run.session, lambda: run.step == 4)
    assert run.notes == [(0, []), (4, ["evaluate"]), (4, ["evaluate", "sample"])]
    assert noted_at_save == [run.notes[:2], run.notes]
    assert caplog.messages == ["step 4: stopped; run again to continue"]


@pytest.mark.parametrize("num_steps", [4, 8])
def test_what_is_owed_is_made_up_before_the_next_step(num_steps):
    """Also after the last step. What is not owed is not repeated."""
    run = Run(step=4, owed=["evaluate"], num_steps=num_steps, evaluate_every=4, sample_every=4)
    train_to_end(run.session)
    later = [("train", 4), ("evaluate", 8), ("preview", 8)] if num_steps == 8 else []
    end = [("flush", num_steps), ("save", num_steps)]
    assert run.calls == [("evaluate", 4), ("flush", 4), *later, *end]
    assert run.notes == [(4, [])]


def test_what_is_owed_and_cut_short_again_stays_owed(caplog):
    run = Run(step=20, owed=["evaluate", "sample"], evaluate_every=4, sample_every=4)
    cut_short(run, "preview")
    with caplog.at_level(logging.INFO, "tf_mdsm"):
        train_to_end(run.session)
    assert run.named("evaluate", "preview") == [("evaluate", 20), ("preview", 20)]
    assert run.notes[-1] == (20, ["sample"])
    assert caplog.messages == ["step 20: stopped; run again to continue"]


def test_what_is_owed_is_forgotten_where_its_interval_has_changed():
    run = Run(step=20, owed=["evaluate", "sample"], evaluate_every=3)
    train_to_end(run.session)
    assert run.named("evaluate", "preview") == []
    assert run.notes == [(20, [])]


def test_what_is_owed_is_left_to_the_chief():
    run = Run(step=20, owed=["evaluate", "sample"], evaluate_every=4, sample_every=4)
    run.session.workers.rank = 1
    train_to_end(run.session)
    assert run.named("evaluate", "preview") == []


def test_the_end_is_logged(caplog):
    with caplog.at_level(logging.INFO, "tf_mdsm"):
        train_to_end(Run().session)
    assert caplog.messages == ["step 20: finished"]


@pytest.mark.parametrize(
    ("history", "first"),
    [
        ({14: (np.nan, 1.0), 15: (np.nan, np.nan)}, 14),
        ({11: (1.0, np.inf), 14: (np.nan, 1.0)}, 11),
        ({20: (-np.inf, 1.0)}, 20),
    ],
)
def test_the_first_step_that_is_not_finite_is_named(history, first):
    """Of the loss or of the gradient's norm; nothing is saved then."""
    run = Run(checkpoint_every=10)
    run.history = history
    with pytest.raises(NonFiniteLoss) as caught:
        train_to_end(run.session)
    assert caught.value.step == first
    assert run.named("save") == [("save", 10)]


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        ("monitor", "log", "step 4: no space left"),
        ("monitor", "flush", "step 20: no space left"),
        ("checkpoints", "save", "step 20: no space left"),
    ],
)
def test_errors_name_the_step(part, name, message):
    run = Run(log_every=4)

    def fail(*_):
        raise OSError("no space left")

    setattr(getattr(run.session, part), name, fail)
    with pytest.raises(RunError, match=message):
        train_to_end(run.session)


def test_an_error_of_a_step_names_it():
    run = Run(log_every=4)

    def fail(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "no memory")

    object.__setattr__(run.session, "run_steps", fail)
    with pytest.raises(RunError, match="step 1: no memory"):
        train_to_end(run.session)
