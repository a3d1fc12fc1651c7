"""From a configuration to a training session, and folders in which no session is opened."""

import dataclasses
import functools
import logging
import os
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import small_runs as runs
from tf_mdsm.config.file import save_config
from tf_mdsm.datasets import image_statistics
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.image_statistics import ImageStatistics
from tf_mdsm.datasets.source_fingerprint import SourceFingerprint
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.runs import build_session, build_statistics
from tf_mdsm.runs.build_data import build_images
from tf_mdsm.runs.build_session import open_session
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import ImageRecord, load_record, save_record
from tf_mdsm.runs.loaded_run import load_run
from tf_mdsm.runs.train import train
from tf_mdsm.samplers.starts import MixtureStart
from tf_mdsm.system.locks import training_lock
from tf_mdsm.training.rollback import NonFiniteLoss, record_rollback


def contents(folder: pathlib.Path) -> dict[pathlib.Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def new_session(tmp_path_factory):
    """A session in a new folder, the folder, and what was logged at the start."""
    workdir = tmp_path_factory.mktemp("new")
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("tf_mdsm")
    logger.addHandler(handler)
    level, _ = logger.level, logger.setLevel(logging.INFO)
    config = runs.small_config(data__flip=True, training__validate_every=3, seed=5)
    try:
        with open_session(config, str(workdir)) as session:
            yield session, workdir, [record.getMessage() for record in records]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_a_session_has_its_settings(new_session):
    session, workdir, _ = new_session
    settings = session.settings
    assert (settings.num_steps, settings.steps_per_call) == (40, 5)
    assert (settings.log_every, settings.checkpoint_every) == (4, 10)
    assert (settings.validate_every, settings.sample_every, settings.evaluate_every) == (3, 0, 0)
    assert (settings.max_rollbacks, session.workers.world_size) == (0, 1)
    assert session.model.noise_seed == 5
    assert session.checkpoints.folder == str(workdir / "checkpoints")
    assert session.checkpoints.latest_step is None


def test_a_session_writes_configuration_and_statistics_before_step_1(new_session):
    _, workdir, _ = new_session
    assert runs.saved_config(workdir)["seed"] == 5
    written = {path.name for path in (workdir / "checkpoints").iterdir()}
    assert written == {"images.json", "lock", "statistics.npz"}
    images, _ = build_images(runs.small_config())
    with np.load(workdir / "checkpoints" / "statistics.npz") as arrays:
        (mean,) = [array for name, array in arrays.items() if name == "mean"]
    np.testing.assert_allclose(mean, images.mean(0), rtol=1e-4, atol=1e-6)


def test_the_start_is_logged(new_session):
    session, workdir, messages = new_session
    parameters = f"{session.model.network.count_params():,}"
    assert messages == [
        f"{workdir}: 1617 training images, {parameters} parameters, 1 CPU replica(s), "
        "from step 0 to 40"
    ]


def test_batches_depend_on_the_seed_and_are_flipped(new_session):
    session, _, _ = new_session
    images, _ = build_images(runs.small_config())
    expected = training_batches(images, batch_size=16, seed=5, flip=True)
    for ours, theirs in zip(range(2), expected, strict=False):
        del ours
        np.testing.assert_array_equal(next(session.batches), theirs)


def test_a_resumed_session_goes_on_at_its_step(copied):
    """With the batches that follow."""
    images, _ = build_images(runs.small_config())
    expected = training_batches(images, batch_size=16, seed=0, first_step=40)
    with open_session(runs.small_config(), str(copied)) as session:
        assert (session.checkpoints.step, session.checkpoints.latest_step) == (40, 40)
        np.testing.assert_array_equal(next(session.batches), next(iter(expected)))


def test_saved_statistics_are_used(copied, monkeypatch):
    """They are those of the start of the run, whatever the data are now."""

    def fail(images):
        raise AssertionError

    monkeypatch.setattr(build_statistics, "fit_statistics", fail)
    with open_session(runs.small_config(), str(copied)):
        pass


def test_a_mixture_is_fitted_once_before_the_first_step(copied, monkeypatch):
    """Also of a run that was trained without one; sampling then starts there."""
    few = functools.partial(image_statistics.fit_mixture, numbers=(2,), ranks=(3,))
    monkeypatch.setattr(image_statistics, "fit_mixture", few)
    config = runs.small_config(sampling__sampler="ancestral", sampling__start="mixture")
    with pytest.raises(InvalidArgument, match=r"`config.sampling.start` must be gaussian or"):
        load_run(config, str(copied)).build_method(config)
    with open_session(config, str(copied)):
        pass
    run = load_run(config, str(copied))
    assert isinstance(run.method.start, MixtureStart)
    assert run.method.start.sigma == config.noise.sigma_max
    fitted = run.statistics.mixture
    assert fitted.centers.shape == (2, 3)
    monkeypatch.setattr(ImageStatistics, "with_mixture", None)
    with open_session(config, str(copied)):
        pass
    again = load_run(config, str(copied)).statistics.mixture
    np.testing.assert_array_equal(again.centers, fitted.centers)


@pytest.mark.parametrize(
    ("steps_done", "guidance", "guide_step", "warns"),
    [
        (0, 1.0, 0, False),
        (0, 2.0, 0, True),
        (0, 2.0, 20, False),
        (0, 2.0, 40, True),  # the newest checkpoint would be its own guide
        (0, 1.0, 50, False),
        (40, 1.0, 30, True),
        (40, 2.0, 30, True),
        (40, 1.0, 0, False),
    ],
)
def test_a_guide_that_never_comes_is_said_at_the_start(
    copied, tmp_path, caplog, steps_done, guidance, guide_step, warns
):
    """Of a run of 40 steps."""
    folder = copied if steps_done else tmp_path / "new"
    config = runs.small_config(guidance=guidance, training__guide_step=guide_step)
    with caplog.at_level(logging.WARNING, "tf_mdsm"), open_session(config, str(folder)):
        assert ("no guide comes before the end" in caplog.text) == warns


def test_workers_other_than_the_chief_write_nothing(tmp_path, monkeypatch):
    """They log warnings only."""

    class Second(build_session.Workers):
        def __init__(self, strategy):
            super().__init__(strategy)
            self.rank = 1

    monkeypatch.setattr(build_session, "Workers", Second)
    logger = logging.getLogger("tf_mdsm")
    level = logger.level
    try:
        config = runs.small_config(training__evaluate_every=2)
        with open_session(config, str(tmp_path / "run")) as session:
            assert logger.level == logging.WARNING
            session.checkpoints.save()
    finally:
        logger.setLevel(level)
    assert contents(tmp_path) == {}


class Killed(BaseException):
    """Ends a test's block at once, as a kill does."""


@pytest.mark.parametrize("step", [0, 40])
@pytest.mark.parametrize("at", ["save_record", "save_statistics"])
def test_no_kill_leaves_statistics_of_other_images(tmp_path, monkeypatch, at, step):
    """Beside a record: without statistics the next start fits those of its images."""
    folder = RunFolder(str(tmp_path))
    checkpoints = types.SimpleNamespace(step=step, before_new_weights=None)
    records, statistics = {}, {}
    for name, value in (("first", 0.0), ("other", 1.0)):
        records[name] = ImageRecord(SourceFingerprint(name, 1, name, name), 2, 1, "split")
        statistics[name] = image_statistics.fit_statistics(np.full((2, 2, 2, 1), value))

    def keep(name: str) -> None:
        checkpoints.before_new_weights = None
        build_session._keep_images(folder, records[name], statistics[name], checkpoints)
        if checkpoints.before_new_weights is not None:
            checkpoints.before_new_weights()

    def kill(*_):
        raise Killed

    keep("first")
    with monkeypatch.context() as patch:
        patch.setattr(build_session, at, kill)
        with pytest.raises(Killed):
            keep("other")
    assert load_record(folder) == records["first" if at == "save_record" else "other"]
    assert image_statistics.load_statistics(folder.image_statistics) is None
    for name in ("first", "other"):
        keep(name)
        assert load_record(folder) == records[name]
        kept = image_statistics.load_statistics(folder.image_statistics)
        np.testing.assert_array_equal(kept.mean, statistics[name].mean)


# Folders in which no session is opened


def test_other_settings_than_those_of_the_run_are_refused(whole):
    before = contents(whole)
    with pytest.raises(InvalidArgument, match=r"config\.seed"):
        train(runs.small_config(seed=1), str(whole))
    assert contents(whole) == before


def test_a_checkpoint_of_another_network_is_refused(copied):
    (copied / "config.json").unlink()
    before = contents(copied / "checkpoints")
    with pytest.raises(InvalidArgument, match="hold a checkpoint of this network"):
        train(runs.small_config(network__channels=4), str(copied))
    assert not (copied / "config.json").exists()
    assert contents(copied / "checkpoints") == before


def test_a_folder_in_which_another_process_trains_is_refused(copied):
    with training_lock(str(copied / "checkpoints")):
        before = contents(copied)
        with pytest.raises(InvalidArgument, match=rf"one process at a time.* {os.getpid()} on "):
            train(runs.small_config(), str(copied))
        assert contents(copied) == before


def before_the_lock(monkeypatch, action) -> None:
    """Calls a function, in place of another process, when all has been read and nothing locked."""
    original = build_session._build_preview

    def build(*arguments):
        action()
        return original(*arguments)

    monkeypatch.setattr(build_session, "_build_preview", build)


def test_a_run_that_another_process_begins_meanwhile_is_compared(tmp_path, monkeypatch):
    other = str(tmp_path / "config.json")
    before_the_lock(monkeypatch, lambda: save_config(runs.small_config(seed=1), other))
    with pytest.raises(InvalidArgument, match=r"config\.seed` must stay 1"):
        train(runs.small_config(), str(tmp_path))
    assert runs.saved_config(tmp_path)["seed"] == 1
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"lock"}


def test_images_that_another_process_trains_on_meanwhile_are_compared(copied, monkeypatch):
    folder = RunFolder(str(copied))
    record = load_record(folder)
    os.remove(folder.image_record)
    others = dataclasses.replace(record, split="others")
    before_the_lock(monkeypatch, lambda: save_record(others, folder))
    with pytest.raises(InvalidArgument, match="images that this run was trained on"):
        train(runs.small_config(), str(copied))
    assert load_record(folder) == others


def test_a_rollback_of_another_process_meanwhile_lowers_the_rate(copied, monkeypatch):
    """To half of the rate at step 0 of the cosine."""
    error = NonFiniteLoss(45, 40)
    checkpoints = str(copied / "checkpoints")
    before_the_lock(monkeypatch, lambda: record_rollback(checkpoints, error))
    with open_session(runs.small_config(), str(copied)) as session:
        rates = session.model.optimizer._learning_rate
        assert float(rates(0)) == pytest.approx(5e-4, rel=1e-6)


def test_a_mixture_that_another_process_fits_meanwhile_is_kept(copied, monkeypatch):
    path = str(copied / "checkpoints" / "statistics.npz")
    few = functools.partial(image_statistics.fit_mixture, numbers=(2,), ranks=(3,))
    monkeypatch.setattr(image_statistics, "fit_mixture", few)
    images, _ = build_images(runs.small_config())
    complete = image_statistics.fit_statistics(images).with_mixture(images, sigma=1.0)
    os.remove(path)
    before_the_lock(monkeypatch, lambda: image_statistics.save_statistics(complete, path))
    with open_session(runs.small_config(), str(copied)):
        pass
    assert image_statistics.load_statistics(path).mixture is not None


def test_the_lock_is_released_after_a_refusal(copied):
    (copied / "config.json").unlink()
    with pytest.raises(InvalidArgument):
        train(runs.small_config(network__channels=4), str(copied))
    with training_lock(str(copied / "checkpoints")):
        pass


def test_a_folder_that_cannot_be_written_is_refused_with_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    answer = runs.call(*runs.flags(), f"--workdir={tmp_path}/file/run")
    assert answer.returncode == 2
    assert "`--workdir` must be writable" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


def test_settings_that_cannot_be_used_leave_no_folder(tmp_path):
    with pytest.raises(InvalidArgument, match="accumulation_steps"):
        train(runs.small_config(training__accumulation_steps=3), str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_lost_worker_at_the_start_is_not_taken_for_a_folder_that_cannot_be_written(
    tmp_path, monkeypatch
):
    class First(build_session.Workers):
        def __init__(self, strategy):
            super().__init__(strategy)
            self.world_size = 2

        def agree_on(self, numbers):
            raise tf.errors.UnavailableError(None, None, "gone")

    monkeypatch.setattr(build_session, "Workers", First)
    with pytest.raises(RunError, match="the start: a worker was lost"):
        train(runs.small_config(), str(tmp_path))


@pytest.mark.parametrize("setting", ["auto", "on"])
def test_the_first_line_says_that_xla_is_off(setting, tmp_path, monkeypatch, caplog):
    """Where it would end the process, unless it is asked for."""
    monkeypatch.setattr(build_session, "unknown_to_xla", lambda: ["12.0", "12.1"])
    config = runs.small_config(training__jit_compile=setting)
    with caplog.at_level("INFO", logger="tf_mdsm"), open_session(config, str(tmp_path)):
        (line,) = (record.getMessage() for record in caplog.records)
    assert (" 1 CPU replica(s) without XLA (compute capability 12.0, 12.1), from" in line) == (
        setting == "auto"
    )


def test_places_of_data_may_differ_between_workers():
    here = runs.small_config(data__path="/here", data__data_dir="/a", data__cache="/b")
    there = runs.small_config(data__path="/there")
    other = runs.small_config(data__flip=True)
    shared = [build_session._shared_settings(config) for config in (here, there, other)]
    assert shared[0] == shared[1] != shared[2]
