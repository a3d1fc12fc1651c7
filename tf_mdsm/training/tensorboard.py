"""What TensorBoard shows of a run."""

import glob
import os

import numpy as np
import tensorflow as tf

from tf_mdsm.system.atomic import atomic_write

__all__ = ["Monitor", "drop_events_after"]


class Monitor:
    """Writes scalars, pictures and text as TensorBoard events; nothing twice after a restart.

    Args:
        folder: for the event files; none: nothing is written, as by workers but the chief.
        first_step: where the run goes on; later events, left by a run that was killed after
            its last checkpoint, are dropped, as they will be written again.
    """

    def __init__(self, folder: str | None, first_step: int):
        if folder is None:
            self._writer = tf.summary.create_noop_writer()
            return
        os.makedirs(folder, exist_ok=True)
        drop_events_after(folder, first_step if first_step else -1)
        self._writer = tf.summary.create_file_writer(folder)

    def scalars(self, values: dict[str, float], step: int) -> None:
        # In arrays: TensorFlow keeps each Python number that it ever made a tensor of.
        step = np.asarray(step)
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(name, np.asarray(value, np.float32), step=step)

    def picture(self, name: str, pixels: np.ndarray, step: int) -> None:
        """Shows one picture, uint8 [H, W, C]."""
        with self._writer.as_default():
            tf.summary.image(name, pixels[None], step=step)

    def text(self, name: str, text: str, step: int) -> None:
        with self._writer.as_default():
            tf.summary.text(name, text, step=step)

    def flush(self) -> None:
        self._writer.flush()


def drop_events_after(folder: str, step: int) -> None:
    """Removes every event of a later step, and what a kill left of a half-written one."""
    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "events.out.tfevents.*"))):
        kept, dropped = _split_events(path, step)
        if not dropped:
            continue
        with atomic_write(path) as partial, tf.io.TFRecordWriter(partial) as writer:
            for record in kept:
                writer.write(record)


def _split_events(path: str, step: int) -> tuple[list[bytes], bool]:
    """The records up to a step, and whether there is anything else in the file."""
    kept, dropped = [], False
    try:
        for record in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            if event.HasField("file_version") or event.step <= step:
                kept.append(record)
            else:
                dropped = True
    except tf.errors.DataLossError:
        dropped = True
    return kept, dropped
