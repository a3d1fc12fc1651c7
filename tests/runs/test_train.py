"""The training run: what it writes, and how it goes on after every kind of end."""

import dataclasses
import json
import pathlib
import resource
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import small_runs as runs
from tests.helpers.bad_batches import batches_with_nan_at
from tests.helpers.eager import uncompiled
from tf_mdsm.config.file import save_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs import build_session
from tf_mdsm.runs.build_session import open_session
from tf_mdsm.runs.train import train
from tf_mdsm.system import checksums
from tf_mdsm.training import loop
from tf_mdsm.training.monitor import TrainingMonitor


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The uninterrupted run with other intervals, and with all that can be shown."""
    workdir = tmp_path_factory.mktemp("shown")
    config = runs.small_config(
        training__steps_per_call=7,
        training__checkpoint_every=0,
        training__validate_every=10,
        training__sample_every=40,
    )
    assert train(config, str(workdir)) == []
    assert runs.saved_config(workdir) == config.to_dict()
    return workdir


def test_files_of_a_run(shown):
    assert {path.name for path in shown.iterdir()} == {
        *("checkpoints", "config.json", "samples", "tensorboard")
    }
    assert [path.name for path in (shown / "samples").iterdir()] == ["step_00000040.png"]
    assert runs.latest_step(shown) == 40


def test_events_of_a_run(shown):
    scalars = {"loss", "gradient_norm", "learning_rate", "images_per_second", "validation_loss"}
    pictures = {"samples", "clean_noisy_denoised", "config"}
    energies = {f"energy/{kind}" for kind in ("clean", "noisy", "uniform")}
    tags = runs.tags(shown)
    bands = {tag for tag in tags if tag.startswith("loss_by_sigma/")}
    assert tags == scalars | pictures | energies | bands
    assert len(bands) == 8
    assert [step for step, _ in runs.events(shown, "validation_loss")] == [10, 20, 30, 40]
    losses = runs.events(shown, "loss")
    assert [step for step, _ in losses] == list(range(4, 41, 4))
    # At the start D(x) = x, nearly: the loss is the mean of |noise|^2 / sigma^2, of 64 pixels. It
    # is the mean of 4 x 16 images of 64 squares, of which each has the standard deviation 1.4.
    assert losses[0][1] == pytest.approx(64, rel=0.2)
    of_bands = [dict(runs.events(shown, tag)) for tag in bands]
    for step, loss in losses:
        assert np.mean([band[step] for band in of_bands]) == pytest.approx(loss, rel=1e-4)
    rates = dict(runs.events(shown, "learning_rate"))
    expected = 1e-6 + (1e-3 - 1e-6) * (1 + np.cos(np.pi * 8 / 40)) / 2
    assert rates[8] == pytest.approx(expected, rel=1e-5)


def test_intervals_do_not_change_the_run(whole, shown):
    """Neither does a second try."""
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(shown))
    assert runs.events(whole, "loss") == runs.events(shown, "loss")


def test_training_a_finished_run_changes_no_file(copied):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    train(runs.small_config(), str(copied))
    for path, content in before.items():
        assert path.read_bytes() == content, path


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [
        # Other orders of sums in float32, over four steps.
        ({"training__jit_compile": "on", "training__strategy": "one_device"}, 1e-5),
        # Numbers of eight bits.
        ({"training__precision": "mixed_bfloat16"}, 0.02),
    ],
)
def test_compiler_strategy_and_precision_hardly_change_the_loss(
    whole, tmp_path, changes, tolerance
):
    with open_session(runs.small_config(**changes), str(tmp_path)) as session:
        history = session.run_steps(session.batches, tf.constant(4)).numpy()
    assert history[-1, 0] == pytest.approx(dict(runs.events(whole, "loss"))[4], rel=tolerance)


class Killed(BaseException):
    """Ends a run at once, as a kill does."""


def before_call(patch, owner, name: str, condition, action) -> None:
    """Calls `action` before each call of a function whose arguments fulfill a condition."""
    original = getattr(owner, name)

    def call(*arguments):
        if condition(*arguments):
            action(*arguments)
        return original(*arguments)

    patch.setattr(owner, name, call)


@dataclasses.dataclass(frozen=True)
class Ended:
    """What stood in a run's folder after an end, and what the program answered."""

    latest_step: int
    logged_steps: list[int]
    answer: runs.Answer | None


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a run that is killed, interrupted and damaged, and its state at each end."""
    workdir = tmp_path_factory.mktemp("interrupted")
    arguments = [*runs.flags(), f"--workdir={workdir}"]

    def ended(answer: runs.Answer | None = None) -> Ended:
        steps = [step for step, _ in runs.events(workdir, "loss")]
        return Ended(runs.latest_step(workdir), steps, answer)

    with pytest.MonkeyPatch.context() as patch:

        def kill(*_) -> None:
            raise Killed

        # The events of step 20 are on the disk then, and its checkpoint is not.
        before_call(patch, checksums, "forget", lambda _, __: is_logged(workdir, 20), kill)
        with pytest.raises(Killed):
            runs.call(*arguments)
    was_killed = ended()
    with pytest.MonkeyPatch.context() as patch:

        def interrupt(*_) -> None:
            signal.raise_signal(signal.SIGINT)

        before_call(patch, TrainingMonitor, "log", lambda _, step: step == 32, interrupt)
        was_interrupted = ended(runs.call(*arguments))
    flip_a_bit(workdir / "checkpoints" / "step-32.data-00000-of-00001")
    was_damaged = ended(runs.call(*arguments))
    return workdir, was_killed, was_interrupted, was_damaged


def is_logged(workdir: pathlib.Path, step: int) -> bool:
    return step in dict(runs.events(workdir, "loss"))


def flip_a_bit(path: pathlib.Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def test_a_kill_leaves_the_checkpoint_before_it(interrupted):
    """Events of later steps are on the disk."""
    _, was_killed, _, _ = interrupted
    assert was_killed == Ended(10, [4, 8, 12, 16, 20], None)


def test_a_signal_saves_a_checkpoint_and_ends_the_run(interrupted):
    """No event stands there twice, although steps 11 to 20 were computed twice."""
    _, _, was_interrupted, _ = interrupted
    assert was_interrupted.latest_step == 32
    assert was_interrupted.logged_steps == list(range(4, 33, 4))
    assert was_interrupted.answer.returncode == 130
    *_, saving, stopped, last = was_interrupted.answer.stderr.splitlines()
    assert saving.endswith("SIGINT: saving, then stopping")
    assert stopped.endswith("step 32: stopped; run again to continue")
    assert last == "tf_mdsm: interrupted"


def test_a_damaged_checkpoint_is_skipped_with_a_warning(interrupted):
    _, _, _, was_damaged = interrupted
    assert was_damaged.answer.returncode == 0
    assert "step-32 cannot be read" in was_damaged.answer.stderr
    assert "the checkpoint of step 30 is used" in was_damaged.answer.stderr


def test_a_run_after_all_this_ends_as_the_uninterrupted_one(whole, interrupted):
    workdir, *_ = interrupted
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(workdir))
    assert runs.events(whole, "loss") == runs.events(workdir, "loss")


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(whole, copied):
    """A limit on the size of files has the effect of a full disk on whoever writes."""
    config = (copied / "config.json").read_text()
    (copied / "config.json").write_text(config.replace('"num_steps": 40', '"num_steps": 42'))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, limits[1]))
    try:
        answer = runs.call(f"--workdir={copied}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.returncode == 1
    assert "step 42: the checkpoint could not be written" in answer.stderr.splitlines()[-1]
    assert runs.latest_step(copied) == 40
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(copied))


def test_a_preview_that_a_signal_cuts_short_is_made_up(tmp_path, monkeypatch):
    """Also that of the last step, whose checkpoint is written all the same."""
    config = runs.small_config(training__num_steps=1, training__sample_every=1)

    def terminate(*_) -> None:
        signal.raise_signal(signal.SIGTERM)

    with uncompiled():
        with monkeypatch.context() as patch:
            before_call(patch, TrainingMonitor, "preview", lambda *_: True, terminate)
            train(config, str(tmp_path))
        assert runs.latest_step(tmp_path) == 1
        assert not (tmp_path / "samples").exists()
        assert (tmp_path / "checkpoints" / "owed.json").exists()
        train(config, str(tmp_path))
    assert (tmp_path / "samples" / "step_00000001.png").exists()
    assert not (tmp_path / "checkpoints" / "owed.json").exists()


# A loss that is not finite


DIVERGING = {
    "optimizer__schedule": "constant",
    "training__num_steps": 12,
    "training__checkpoint_every": 6,
    "training__max_rollbacks": 1,
    "training__rollback_rate": 0.01,
}


def diverging_config(num_steps: int = 12):
    return runs.small_config(**{**DIVERGING, "training__num_steps": num_steps})


@pytest.fixture(scope="module")
def diverged(tmp_path_factory):
    """A run whose loss is not finite in step 8, and in step 11 after the rollback."""
    workdir = tmp_path_factory.mktemp("diverged")
    save_config(diverging_config(), str(workdir / "config.json"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_session, "training_batches", batches_with_nan_at(7, 10))
        return workdir, runs.call(f"--workdir={workdir}")


def test_a_run_is_rolled_back_and_continues_at_a_lower_rate(diverged):
    workdir, answer = diverged
    rollbacks = json.loads((workdir / "checkpoints" / "rollbacks.json").read_text())
    assert rollbacks == [{"from": 8, "to": 6}]
    message = "step 8: the loss is not finite; checkpoint of step 6 is kept; continuing from step 6"
    assert f"{message} at 0.01 times the learning rate" in answer.stderr
    rates = dict(runs.events(workdir, "learning_rate"))
    assert rates == pytest.approx({4: 1e-3, 8: 1e-5}, rel=1e-6)


def test_without_another_rollback_the_run_ends_with_one_line(diverged):
    """It names the first bad step; the last checkpoint before it is kept."""
    workdir, answer = diverged
    assert answer.returncode == 1
    message = "tf_mdsm: step 11: the loss is not finite; checkpoint of step 6 is kept"
    assert answer.stderr.splitlines()[-1] == message
    assert "Traceback" not in answer.stderr
    assert runs.latest_step(workdir) == 6
    assert all(np.isfinite(value).all() for value in runs.final_weights(workdir).values())


@pytest.mark.parametrize("at", ["the loss", "the next session"])
def test_a_signal_before_or_during_a_rollback_ends_the_run(at, tmp_path, monkeypatch):
    """It comes during the compiled call of the bad step, or while the next session is opened."""

    def terminate(*_) -> None:
        signal.raise_signal(signal.SIGTERM)

    def is_bad(history: np.ndarray, *_) -> bool:
        return not np.isfinite(history).all()

    def has_begun(*_) -> bool:
        return (tmp_path / "config.json").exists()

    if at == "the loss":
        before_call(monkeypatch, loop, "_require_finite", is_bad, terminate)
    else:
        before_call(monkeypatch, build_session, "build_run_images", has_begun, terminate)
    monkeypatch.setattr(build_session, "training_batches", batches_with_nan_at(2, -1))
    flags = runs.flags(**{**DIVERGING, "training__checkpoint_every": 2})
    with uncompiled():
        answer = runs.call(*flags, f"--workdir={tmp_path}")
    assert answer.returncode == 0, answer.stderr
    lines = answer.stderr.splitlines()
    assert sum("SIGTERM: saving, then stopping" in line for line in lines) == 1
    assert sum("from step 2 to" in line for line in lines) == (at == "the next session")
    assert lines[-1].endswith("step 2: stopped; run again to continue")
    assert runs.latest_step(tmp_path) == 2
    rollbacks = json.loads((tmp_path / "checkpoints" / "rollbacks.json").read_text())
    assert rollbacks == [{"from": 3, "to": 2}]


def test_a_run_that_is_started_again_keeps_the_lower_rate(diverged, tmp_path):
    """A run may get longer, too."""
    workdir, _ = diverged
    copy = shutil.copytree(workdir, tmp_path / "run")
    with open_session(diverging_config(num_steps=14), str(copy)) as session:
        assert session.checkpoints.step == 6
        rate = float(tf.convert_to_tensor(session.model.optimizer.learning_rate))
    assert rate == pytest.approx(1e-5, rel=1e-6)


def test_a_run_cannot_shrink_below_its_steps(diverged):
    workdir, _ = diverged
    with pytest.raises(InvalidArgument, match=r"num_steps` must be at least the 6 steps"):
        train(diverging_config(num_steps=5), str(workdir))
