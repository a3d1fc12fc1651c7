"""TensorBoard's events: each stands there once, also after a kill."""

import pathlib
import resource

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.small_runs import events, tags
from tf_mdsm.training.tensorboard import EventWriter, drop_events_after


def log(folder: pathlib.Path, steps: range, first_step: int = 0) -> pathlib.Path:
    """Writes the scalar "loss" for some steps; returns the new event file."""
    before = set(folder.glob("*"))
    writer = EventWriter(str(folder), first_step)
    for step in steps:
        writer.scalars({"loss": step + 0.5}, step)
    writer.flush()
    (path,) = set(folder.glob("*")) - before
    return path


def test_scalars_pictures_and_text(tmp_path):
    writer = EventWriter(str(tmp_path / "tensorboard"), 0)
    writer.scalars({"loss": np.float64(0.1), "rate": tf.constant(2.0)}, 3)
    writer.picture("samples", np.zeros((4, 4, 1), np.uint8), 3)
    writer.text("config", "text", 0)
    writer.flush()
    assert tags(tmp_path) == {"loss", "rate", "samples", "config"}
    assert events(tmp_path, "loss") == [(3, np.float32(0.1))]


def test_a_resumed_run_drops_the_events_after_its_step(tmp_path):
    folder = tmp_path / "tensorboard"
    log(folder, range(1, 10))
    log(folder, range(7, 12), first_step=6)
    log(folder, range(9, 10), first_step=8)
    assert events(tmp_path, "loss") == [(step, step + 0.5) for step in range(1, 10)]


def test_a_run_from_the_start_drops_all_events(tmp_path):
    folder = tmp_path / "tensorboard"
    log(folder, range(5))
    log(folder, range(2))
    assert events(tmp_path, "loss") == [(0, 0.5), (1, 1.5)]


@pytest.mark.parametrize("last", [6, 9])
def test_a_damaged_record_is_dropped_with_all_after_it(tmp_path, last):
    """A kill in the middle of writing leaves one."""
    path = log(tmp_path, range(10))
    path.write_bytes(path.read_bytes()[:-7])
    drop_events_after(str(tmp_path), last)
    records = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    # The first record is the version of the file.
    steps = [tf.compat.v1.Event.FromString(record).step for record in records]
    assert steps == [0, *range(min(last + 1, 9))]


def test_a_file_without_later_events_is_not_written_again(tmp_path):
    path = log(tmp_path, range(5))
    before = path.stat().st_mtime_ns
    drop_events_after(str(tmp_path), 4)
    assert path.stat().st_mtime_ns == before


def test_workers_other_than_the_chief_write_nothing():
    writer = EventWriter(None, 0)
    writer.scalars({"loss": 1.0}, 1)
    writer.flush()


def test_logged_scalars_do_not_stay_in_memory(tmp_path):
    """TensorFlow keeps every Python number that it converts to a tensor: 750 bytes each."""
    writer = EventWriter(str(tmp_path), 0)

    def write(first: int, count: int) -> None:
        for step in range(first, first + count):
            writer.scalars({"loss": step + 0.5}, step)

    def memory() -> int:
        return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    write(0, 500)
    growths, count = [], 1_000
    for first in (500, 1_500, 2_500):
        before = memory()
        write(first, count)
        growths.append(memory() - before)
    # A scalar is two numbers, itself and its step. What is kept grows each time; whatever else the
    # process allocates does not.
    assert min(growths) / (2 * count) < 200, f"bytes a number: {growths}"
