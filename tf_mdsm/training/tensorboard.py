"""TensorBoard events of a training run, written once even if the run is killed and resumed."""

import glob
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.system.atomic import atomic_write

__all__ = ["EventWriter", "drop_events_after"]


class EventWriter:
    """Writes scalars, pictures and text as TensorBoard events.

    A run that was killed has written events of steps after its last checkpoint. When the run is
    resumed it repeats these steps, so their old events are removed at the start.

    Args:
        folder: folder of the event files; None: nothing is written (workers other than the chief).
        first_step: step from which the run starts or is resumed. Events of later steps are
            removed; if it is 0, all events are.
    """

    def __init__(self, folder: str | None, first_step: int):
        if folder is None:
            self._writer = tf.summary.create_noop_writer()
            return
        os.makedirs(folder, exist_ok=True)
        drop_events_after(folder, first_step if first_step else -1)
        self._writer = tf.summary.create_file_writer(folder)

    def scalars(self, values: Mapping[str, Any], step: int) -> None:
        """Writes numbers under their names."""
        # Numbers are passed as arrays: TensorFlow keeps every Python number that it has converted
        # to a tensor, so that memory would grow.
        step_array: Any = np.asarray(step)
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, np.asarray(value, np.float32), step=step_array)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Writes one picture, uint8 [H, W, C]."""
        with self._writer.as_default():
            tf.summary.image(name, pixels[None], step=step)

    def text(self, name: str, text: str, step: int) -> None:
        """Writes a text in Markdown."""
        with self._writer.as_default():
            tf.summary.text(name, text, step=step)

    def flush(self) -> None:
        """Writes out all events that are still in memory."""
        self._writer.flush()


def drop_events_after(folder: str, step: int) -> None:
    """Removes from a folder's event files all events of later steps.

    A damaged record, as a kill in the middle of writing leaves it, is removed with all that
    follows it in its file.

    Args:
        folder: folder of the event files.
        step: the last step whose events are kept.
    """
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "events.out.tfevents.*"))):
        kept, any_dropped = _split_events(path, step)
        if not any_dropped:
            continue
        with atomic_write(path) as partial, tf.io.TFRecordWriter(partial) as writer:
            for record in kept:
                writer.write(record)


def _split_events(path: str, step: int) -> tuple[list[bytes], bool]:
    """An event file's records up to a step, and whether the file holds anything else."""
    kept, any_dropped = [], False
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if event.HasField("file_version") or event.step <= step:
                kept.append(record)
            else:
                any_dropped = True
    except tf.errors.DataLossError:
        any_dropped = True
    return kept, any_dropped
