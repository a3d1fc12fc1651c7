"""A Keras callback that samples images during `fit` and writes them as pictures."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mdsm.errors import RunError
from tf_mdsm.samplers.base import Method
from tf_mdsm.samplers.values import whole_number
from tf_mdsm.visualization.images import write_png
from tf_mdsm.visualization.model_views import samples_picture

__all__ = ["SampleImages"]

_LOGGER = logging.getLogger(__name__)


class SampleImages(keras.callbacks.Callback):
    """Samples images after every few epochs of an `EnergyModel`, and writes them as one picture.

    The seeds are always the same, so that pictures of different epochs can be compared. Samples
    that are not finite, as may happen in the middle of training, are left out with a warning.

    Args:
        folder: where `epoch_NNNN.png` is written.
        seeds: one seed for each image.
        method: how to sample; None: as `samplers.sampling.sample`.
        every: number of epochs from one picture to the next.
        tensorboard: folder of event files, in which TensorBoard finds the pictures, too; None:
            none are written.

    Raises:
        InvalidArgument: if `every` is not a positive integer.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        *,
        seeds: Sequence[int] | np.ndarray = range(16),
        method: Method | None = None,
        every: int = 1,
        tensorboard: str | os.PathLike | None = None,
    ):
        super().__init__()
        self.folder, self.seeds, self.method = os.fspath(folder), seeds, method
        self.every = whole_number("every", every)
        self.tensorboard = None if tensorboard is None else os.fspath(tensorboard)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Samples and writes after epochs `every`, 2 `every`, …, counted from 1."""
        number = epoch + 1
        if number % self.every:
            return
        model: Any = self.model
        try:
            images = model.sample(self.seeds, self.method)
        except RunError as error:
            _LOGGER.warning("no samples of epoch %d: %s", number, error)
            return
        picture = samples_picture(model, images)
        os.makedirs(self.folder, exist_ok=True)
        write_png(picture, os.path.join(self.folder, f"epoch_{number:04d}.png"))
        if self.tensorboard is not None:
            with tf.summary.create_file_writer(self.tensorboard).as_default(number):
                tf.summary.image("samples", picture[None])
