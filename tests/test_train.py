"""The training run: what it writes, how it stops, resumes and fails."""

import fcntl
import json
import logging
import os
import pathlib
import random
import resource
import shutil
import signal
import threading
import time

import numpy as np
import pytest
import small_runs as runs
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.runs import build_session
from tf_mdsm.runs.build_model import build_strategy
from tf_mdsm.runs.train import train
from tf_mdsm.system.locks import training_lock
from tf_mdsm.training.tensorboard import EventWriter, drop_events_after


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted run of the small recipe."""
    workdir = tmp_path_factory.mktemp("whole")
    train(runs.small_config(), str(workdir))
    return workdir


def copied(whole, tmp_path) -> pathlib.Path:
    """A copy of the run, which a test may change."""
    return shutil.copytree(whole, tmp_path / "copied")


def test_accumulation_steps_that_do_not_divide_a_replicas_images_are_refused(tmp_path):
    workdir = tmp_path / "run"
    message = r"`config.training.accumulation_steps` must divide the images of each replica \(16\)"
    with pytest.raises(InvalidArgument, match=message):
        train(runs.small_config(training__accumulation_steps=3), str(workdir))
    assert not workdir.exists()


def test_files_and_events_of_a_run(tmp_path):
    config = runs.small_config(
        training__num_steps=20, training__validate_every=10, training__sample_every=20
    )
    train(config, str(tmp_path))
    assert runs.saved_config(tmp_path) == config.to_dict()
    assert {p.name for p in tmp_path.iterdir()} == {
        "checkpoints",
        "config.json",
        "samples",
        "tensorboard",
    }
    assert [p.name for p in (tmp_path / "samples").iterdir()] == ["step_00000020.png"]
    scalars = {"loss", "gradient_norm", "learning_rate", "images_per_second", "validation_loss"}
    pictures = {"samples", "clean_noisy_denoised", "config"}
    energies = {f"energy/{kind}" for kind in ("clean", "noisy", "uniform")}
    tags = runs.tags(tmp_path)
    assert scalars | pictures | energies <= tags
    assert len([tag for tag in tags if tag.startswith("loss_by_sigma/")]) == 8
    losses = runs.events(tmp_path, "loss")
    assert [step for step, _ in losses] == [4, 8, 12, 16, 20]
    assert losses[0][1] == pytest.approx(64, rel=0.2)
    bands = {tag: dict(runs.events(tmp_path, tag)) for tag in tags if tag.startswith("loss_by")}
    for step, loss in losses:
        assert np.mean([band[step] for band in bands.values()]) == pytest.approx(loss, rel=1e-4)
    rates = dict(runs.events(tmp_path, "learning_rate"))
    expected = 1e-6 + (1e-3 - 1e-6) * (1 + np.cos(np.pi * 8 / 20)) / 2
    assert rates[8] == pytest.approx(expected, rel=1e-4)


def test_logged_scalars_do_not_stay_in_memory(tmp_path):
    """TensorFlow keeps every Python number that it converts to a tensor: 750 bytes each."""
    events = EventWriter(str(tmp_path), 0)

    def log(first: int, count: int) -> None:
        for step in range(first, first + count):
            events.scalars({"loss": step + 0.5, "rate": np.float64(1 / (step + 1))}, step)

    def memory() -> int:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    log(0, 1_000)
    before = memory()
    log(1_000, 4_000)
    assert (memory() - before) / (3 * 4_000) < 200, "bytes a number"


def test_only_the_newest_checkpoints_are_kept(whole):
    names = {path.name for path in (whole / "checkpoints").glob("*.index")}
    assert names == {"step-20.index", "step-30.index", "step-40.index"}


def test_the_same_config_gives_the_same_run(whole, tmp_path):
    train(runs.small_config(), str(tmp_path))
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(tmp_path))
    assert runs.events(whole, "loss") == runs.events(tmp_path, "loss")


def test_another_seed_gives_another_run(whole, tmp_path):
    train(runs.small_config(seed=1), str(tmp_path))
    assert runs.events(whole, "loss") != runs.events(tmp_path, "loss")


def test_intervals_do_not_change_the_run(whole, tmp_path):
    config = runs.small_config(
        training__steps_per_call=7,
        training__checkpoint_every=0,
        training__validate_every=3,
        training__sample_every=13,
    )
    train(config, str(tmp_path))
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(tmp_path))


def test_training_a_finished_run_changes_no_file(whole):
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    train(runs.small_config(), str(whole))
    for path, content in before.items():
        assert path.read_bytes() == content, path


def test_a_signal_cancels_the_preview(tmp_path):
    """A preview of ten million sampling steps does not delay the end; the loss is logged."""
    changes = {"training__sample_every": 4, "sampling__cooling_steps": 10_000_000}
    arguments = runs.flags(training__steps_per_call=1, **changes)
    with runs.started(*arguments, f"--workdir={tmp_path}") as process:
        time.sleep(5)
        runs.wait_for(lambda: runs.events(tmp_path, "loss"), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    assert runs.latest_step(tmp_path) == 4
    assert [step for step, _ in runs.events(tmp_path, "loss")] == [4]


@pytest.mark.parametrize(
    "change",
    [
        {"training__jit_compile": "on"},
        {"training__strategy": "one_device"},
        {"training__precision": "mixed_bfloat16"},
    ],
)
def test_compiler_strategy_and_precision_hardly_change_the_loss(whole, tmp_path, change):
    train(runs.small_config(training__num_steps=20, **change), str(tmp_path))
    tolerance = 0.02 if "training__precision" in change else 1e-4
    ours, theirs = dict(runs.events(tmp_path, "loss")), dict(runs.events(whole, "loss"))
    # The first interval, in which the two learning-rate schedules still differ little.
    assert ours[4] == pytest.approx(theirs[4], rel=tolerance)
    assert np.isfinite(list(ours.values())).all()


def test_a_batch_that_replicas_cannot_share_is_refused(monkeypatch):
    devices = tf.config.list_logical_devices("CPU") * 3
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _: devices)
    with pytest.raises(InvalidArgument, match=r"divisible by the number of replicas \(3\)"):
        build_strategy(runs.small_config())


def test_zero_means_never(tmp_path):
    config = runs.small_config(
        training__num_steps=6, training__checkpoint_every=0, training__log_every=0
    )
    train(config, str(tmp_path))
    assert runs.tags(tmp_path) == {"config"}
    assert runs.latest_step(tmp_path) == 6


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint_and_ends_the_run(whole, tmp_path, number):
    arguments = runs.flags(training__num_steps=40, training__steps_per_call=1)
    with runs.started(*arguments, f"--workdir={tmp_path}") as process:
        runs.wait_for(lambda: runs.latest_step(tmp_path), process)
        process.send_signal(number)
        assert process.wait(timeout=60) == (130 if number == signal.SIGINT else 0)
        message = process.stderr.read()
    assert signal.Signals(number).name in message
    train(runs.small_config(training__steps_per_call=1), str(tmp_path))
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(tmp_path))
    assert runs.events(whole, "loss") == runs.events(tmp_path, "loss")


def test_a_run_killed_at_random_moments_ends_as_the_uninterrupted_one(whole, tmp_path, request):
    """`kill -9` several times, every other time while a checkpoint is being written."""
    kills = request.config.getoption("--kills")
    generator = random.Random(kills)
    arguments = [
        *runs.flags(training__steps_per_call=1, training__checkpoint_every=1),
        f"--workdir={tmp_path}",
    ]
    checkpoints = pathlib.Path(tmp_path) / "checkpoints"

    def step() -> int:
        return runs.latest_step(tmp_path) or 0

    for kill in range(kills):
        before = step()
        target = before + generator.randint(1, max(1, 36 // kills))
        with runs.started(*arguments) as process:
            runs.wait_for(lambda target=target: step() >= target, process)
            if kill % 2:
                # Wait for the first file of the next checkpoint.
                next_files = f"step-{target + 1}*"
                runs.wait_for(lambda name=next_files: any(checkpoints.glob(name)), process)
            process.kill()
            process.wait()
        assert step() >= before
    assert 0 < step() < 40
    train(runs.small_config(training__steps_per_call=1), str(tmp_path))
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(tmp_path))
    assert runs.events(whole, "loss") == runs.events(tmp_path, "loss")


def batches_with_nan_at(place: int):
    """`training_batches` in which all pixels of the batch for step `place` + 1 are NaN."""
    original = build_session.training_batches

    def batches(images, *, first_step, **settings):
        steps = tf.data.Dataset.counter(first_step)
        served = original(images, first_step=first_step, **settings)
        return tf.data.Dataset.zip(steps, served).map(
            lambda step, images: tf.where(step == place, np.float32("nan"), images)
        )

    return batches


def test_a_non_finite_loss_stops_the_run(tmp_path, monkeypatch):
    """The message names the first bad step; the last checkpoint before it is kept."""
    monkeypatch.setattr(build_session, "training_batches", batches_with_nan_at(13))
    with pytest.raises(RunError, match=r"step 14: the loss is not finite; checkpoint of step 10"):
        train(runs.small_config(), str(tmp_path))
    assert runs.latest_step(tmp_path) == 10
    assert all(np.isfinite(value).all() for value in runs.final_weights(tmp_path).values())


def test_a_diverging_run_ends_with_one_line(tmp_path):
    arguments = runs.flags(optimizer__learning_rate=10.0, training__num_steps=200)
    result = runs.call(*arguments, f"--workdir={tmp_path}")
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("tf_mdsm: step ")
    assert "the loss is not finite" in last
    assert "Traceback" not in result.stderr


def test_a_full_disk_ends_the_run_and_keeps_the_checkpoint(tmp_path):
    """A limit on the size of files has the effect of a full disk on whoever writes."""
    train(runs.small_config(), str(tmp_path))
    before = runs.final_weights(tmp_path)
    (tmp_path / "config.json").write_text(
        (tmp_path / "config.json").read_text().replace('"num_steps": 40', '"num_steps": 60')
    )

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, 8_192))

    result = runs.call(f"--workdir={tmp_path}", preexec_fn=limit)
    assert result.returncode == 1
    assert "the checkpoint could not be written" in result.stderr.splitlines()[-1]
    assert runs.latest_step(tmp_path) == 40
    runs.assert_same_weights(before, runs.final_weights(tmp_path))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = runs.call(*runs.flags(), f"--workdir={tmp_path}/file/run")
    assert result.returncode == 2
    assert "`--workdir` must be writable" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_checkpoint_of_another_network_is_refused(whole, tmp_path):
    wider = runs.small_config(network__channels=4)
    workdir = copied(whole, tmp_path)
    (workdir / "config.json").unlink()
    with pytest.raises(InvalidArgument, match="hold a checkpoint of this network"):
        train(wider, str(workdir))
    assert not (workdir / "config.json").exists()
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(workdir))


def test_a_run_whose_checkpoints_are_all_damaged_is_refused(whole, tmp_path):
    workdir = copied(whole, tmp_path)
    for path in (workdir / "checkpoints").glob("*.data*"):
        path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(
        RunError, match=r"step-40 cannot be read \(step-40\.data.* has changed since it was written"
    ):
        train(runs.small_config(), str(workdir))


@pytest.mark.parametrize(
    ("file", "has_checksums"),
    [("data-00000-of-00001", True), ("index", True), ("data-00000-of-00001", False)],
)
def test_a_damaged_checkpoint_is_skipped(whole, tmp_path, caplog, file, has_checksums):
    """One bit of the newest checkpoint is flipped; its steps are computed again.

    Without the recorded checksums, as after a kill between the two writes, TensorFlow's own
    checksums find the damage.
    """
    workdir = copied(whole, tmp_path)
    path = workdir / "checkpoints" / f"step-40.{file}"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    if not has_checksums:
        (workdir / "checkpoints" / "checksums.json").unlink()
    with caplog.at_level(logging.WARNING, "tf_mdsm"):
        train(runs.small_config(), str(workdir))
    assert "step-40 cannot be read" in caplog.text
    assert "the checkpoint of step 30 is used" in caplog.text
    runs.assert_same_weights(runs.final_weights(whole), runs.final_weights(workdir))
    assert runs.events(whole, "loss") == runs.events(workdir, "loss")


def test_a_lost_pointer_file_is_harmless(whole, tmp_path):
    """Without TensorFlow's file `checkpoint` the newest checkpoint is found by its files."""
    workdir = copied(whole, tmp_path)
    (workdir / "checkpoints" / "checkpoint").write_bytes(b"")
    (workdir / "checkpoints" / "step-50.index").write_bytes(b"half-written")
    train(runs.small_config(), str(workdir))
    assert runs.events(whole, "loss") == runs.events(workdir, "loss")


def test_a_folder_in_which_another_process_trains_is_refused(whole, tmp_path):
    workdir = copied(whole, tmp_path)
    with training_lock(str(workdir / "checkpoints")):
        before = {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}
        with pytest.raises(InvalidArgument, match=rf"one process at a time.* {os.getpid()} on "):
            train(runs.small_config(), str(workdir))
        for path, content in before.items():
            assert path.read_bytes() == content, path
    train(runs.small_config(), str(workdir))


def test_a_lock_without_a_name_is_asked_for_again(tmp_path, monkeypatch):
    """A process has a lock without its name in it for a moment, at its start and at its end."""
    with open(tmp_path / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        release = threading.Timer(0.2, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        with training_lock(str(tmp_path)):
            assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} on ")
        release.join()
        monkeypatch.setattr("tf_mdsm.system.locks._NAME_SECONDS", 0.1)
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(InvalidArgument, match="process unknown is"):  # noqa: SIM117
            with training_lock(str(tmp_path)):
                pass


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_run_with_a_non_finite_loss_continues_at_a_lower_rate(tmp_path, caplog, schedule):
    """At a learning rate of 10 the loss becomes non-finite at once; each rollback divides the
    rate by 100."""
    config = runs.small_config(
        optimizer__learning_rate=10.0,
        optimizer__schedule=schedule,
        training__max_rollbacks=4,
        training__rollback_rate=0.01,
    )
    with caplog.at_level(logging.WARNING, "tf_mdsm"):
        train(config, str(tmp_path))
    assert runs.latest_step(tmp_path) == 40
    assert all(np.isfinite(value).all() for value in runs.final_weights(tmp_path).values())
    rollbacks = json.loads((tmp_path / "checkpoints" / "rollbacks.json").read_text())
    assert 1 <= len(rollbacks) <= 4
    assert all(rollback["to"] < rollback["from"] for rollback in rollbacks)
    assert caplog.text.count("the loss is not finite") == len(rollbacks)
    rate = 10 * 0.01 ** len(rollbacks)
    if schedule == "cosine":
        rate = 1e-6 / 10 * rate + (1 - 1e-7) * rate * (1 + np.cos(np.pi * 4 / 40)) / 2
    # The run was rolled back to step 0, so the first interval has the lowered rate.
    assert dict(runs.events(tmp_path, "learning_rate"))[4] == pytest.approx(rate, rel=1e-3)
    # A run that is started again keeps the lowered rate.
    with build_session.open_session(config, str(tmp_path)) as session:
        current_rate = float(tf.convert_to_tensor(session.model.optimizer.learning_rate))
    assert current_rate <= rate * (1 + 1e-6)


def test_a_run_ends_after_its_last_allowed_rollback(tmp_path, monkeypatch):
    monkeypatch.setattr(build_session, "training_batches", batches_with_nan_at(13))
    with pytest.raises(RunError, match=r"step 14: the loss is not finite; checkpoint of step 10"):
        train(runs.small_config(training__max_rollbacks=2), str(tmp_path))
    rollbacks = json.loads((tmp_path / "checkpoints" / "rollbacks.json").read_text())
    assert rollbacks == [{"from": 14, "to": 10}] * 2


def test_a_run_cannot_shrink_below_its_steps(tmp_path):
    config = runs.small_config(training__num_steps=8, optimizer__schedule="constant")
    train(config, str(tmp_path))
    config.training.num_steps = 12
    train(config, str(tmp_path))
    assert runs.latest_step(tmp_path) == 12
    config.training.num_steps = 4
    with pytest.raises(InvalidArgument, match=r"num_steps` must be at least the 12 steps"):
        train(config, str(tmp_path))


def test_events_after_a_step_are_dropped(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in range(10):
            tf.summary.scalar("loss", float(step), step=step)
    writer.close()
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-7])
    drop_events_after(str(tmp_path), 6)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    steps = [tf.compat.v1.Event.FromString(record).step for record in records]
    assert steps == [0, *range(7)]
