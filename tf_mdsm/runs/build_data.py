"""From `config.data` to images, and to the true energy where it is known."""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.datasets.loading import load_images
from tf_mdsm.datasets.patches import Patches
from tf_mdsm.datasets.photographs import load_patches
from tf_mdsm.datasets.synthetic import mixture_energy
from tf_mdsm.errors import InvalidArgument, errors_in_group
from tf_mdsm.noise import NoiseLevels

__all__ = [
    "RunImages",
    "build_images",
    "build_run_images",
    "build_true_energy",
    "image_shape",
    "sample_shape",
]

# Patches that stand for all of a run's training images, and of its validation images, at most.
_MAX_TRAINING_PATCHES, _MAX_VALIDATION_PATCHES = 16_384, 4_096


def image_shape(config: ConfigDict) -> tuple[int, int, int]:
    """Height, width and channels of the run's images: of the patches with `data.patches`."""
    return (config.data.image_size, config.data.image_size, config.data.channels)


def sample_shape(config: ConfigDict) -> tuple[int, int, int]:
    """Height, width and channels of the images that are sampled."""
    size = config.sampling.image_size or config.data.image_size
    return (size, size, config.data.channels)


@dataclasses.dataclass(frozen=True)
class RunImages:
    """The images of a run.

    Attributes:
        training: training images [N, H, W, C], uint8 or float32 in [0, 1]. Of patches, random ones
            that stand for all, the same ones each time.
        validation: validation images, likewise. Of patches, some that do not overlap.
        drawn_from: what training batches are drawn from: `training`, or all patches.
        num_training: number of training images; of patches, of the whole images.
        num_validation: number of validation images, likewise.
    """

    training: np.ndarray
    validation: np.ndarray
    drawn_from: np.ndarray | Patches
    num_training: int
    num_validation: int


def build_images(config: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """The training images and the validation images of `build_run_images`."""
    images = build_run_images(config)
    return images.training, images.validation


def build_run_images(config: ConfigDict) -> RunImages:
    """Reads the training images and the validation images of `config.data`.

    Raises:
        InvalidArgument: if the images cannot be read, or are fewer than one batch. There may be
            fewer patches than in a batch.
    """
    without = ("flip", "turn", "patches", "allow_other_images")
    settings = {name: value for name, value in config.data.items() if name not in without}
    for name in ("path", "data_dir", "cache"):
        settings[name] = os.path.expanduser(settings[name])
    if config.data.patches:
        return _build_patches(settings)
    with errors_in_group("config.data"):
        training, validation = load_images(**settings)
    batch_size = config.training.batch_size
    if len(training) < batch_size:
        raise InvalidArgument(
            "config.training.batch_size",
            f"not exceed the number of training images ({len(training)})",
            batch_size,
        )
    return RunImages(training, validation, training, len(training), len(validation))


def _build_patches(settings: dict[str, Any]) -> RunImages:
    """The images of a run on patches; `settings` are fields of `config.data`."""
    names = ("source", "path", "image_size", "channels")
    names += ("held_out_fraction", "skip_damaged", "cache")
    with errors_in_group("config.data"):
        training, validation = load_patches(**{name: settings[name] for name in names})
    return RunImages(
        training=training.sample(_MAX_TRAINING_PATCHES),
        validation=validation.sample(_MAX_VALIDATION_PATCHES),
        drawn_from=training,
        num_training=training.num_images,
        num_validation=validation.num_images,
    )


def build_true_energy(config: ConfigDict) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The energy that training should find, points [B, 1, 1, 2] to energies [B].

    Returns:
        None for data whose distribution is not known: all but the synthetic mixture.
    """
    if (config.data.source, config.data.name) != ("synthetic", "mixture"):
        return None
    sigmas = NoiseLevels(**config.noise).sigmas
    return lambda points: mixture_energy(points, sigmas)
