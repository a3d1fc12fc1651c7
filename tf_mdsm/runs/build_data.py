"""From `config.data` to images, and to the true energy where it is known."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.datasets.loading import load_images
from tf_mdsm.datasets.synthetic import mixture_energy
from tf_mdsm.errors import InvalidArgument, errors_in_group
from tf_mdsm.noise import NoiseLevels

__all__ = ["build_images", "build_true_energy", "image_shape"]


def image_shape(config: ConfigDict) -> tuple[int, int, int]:
    """Height, width and channels of the run's images."""
    return (config.data.image_size, config.data.image_size, config.data.channels)


def build_images(config: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """Reads the training images and the validation images of `config.data`.

    Returns:
        two arrays [N, H, W, C], uint8 or float32 in [0, 1].

    Raises:
        InvalidArgument: if the images cannot be read, or are fewer than one batch.
    """
    without = ("flip", "allow_other_images")
    settings = {name: value for name, value in config.data.items() if name not in without}
    for name in ("path", "data_dir", "cache"):
        settings[name] = os.path.expanduser(settings[name])
    with errors_in_group("config.data"):
        training, validation = load_images(**settings)
    batch_size = config.training.batch_size
    if len(training) < batch_size:
        raise InvalidArgument(
            "config.training.batch_size",
            f"not exceed the number of training images ({len(training)})",
            batch_size,
        )
    return training, validation


def build_true_energy(config: ConfigDict) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The energy that training should find, points [B, 1, 1, 2] to energies [B].

    Returns:
        None for data whose distribution is not known: all but the synthetic mixture.
    """
    if (config.data.source, config.data.name) != ("synthetic", "mixture"):
        return None
    sigmas = NoiseLevels(**config.noise).sigmas
    return lambda points: mixture_energy(points, sigmas)
