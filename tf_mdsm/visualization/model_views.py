"""What a model looks like: its samples, its denoising, its landscape."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.visualization import images as pictures
from tf_mdsm.visualization import plots

__all__ = ["denoising_strip", "is_points", "samples_picture"]

_RESOLUTION = 101


def is_points(image_shape: tuple[int, int, int]) -> bool:
    """Whether the "images" are points of the plane."""
    return tuple(image_shape) == (1, 1, 2)


def samples_picture(
    model: EnergyModel, images: np.ndarray, true_energy: Callable | None = None
) -> np.ndarray:
    """A grid of images; for points, the learned landscape with them, beside the true one.

    Args:
        images: samples, [N, H, W, C].
        true_energy: points [B, 1, 1, 2] to energies [B], where known.

    Returns:
        uint8 [height, width, C].
    """
    if not is_points(model.image_shape):
        return pictures.image_grid(images)
    axis = np.linspace(0, 1, _RESOLUTION, dtype=np.float32)
    mesh = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 1, 2)
    energies = {"learned energy and samples": model.energy}
    if true_energy is not None:
        energies["true energy"] = true_energy
    values = {
        title: np.reshape(energy(tf.constant(mesh)), (_RESOLUTION, _RESOLUTION))
        for title, energy in energies.items()
    }
    return plots.landscapes(values, images.reshape(-1, 2))


def denoising_strip(model: EnergyModel, images: np.ndarray, levels: int = 6) -> np.ndarray:
    """Clean, noisy and denoised images in turn, three rows for each of some noise levels.

    Args:
        images: clean images, [N, H, W, C], one a column.

    Returns:
        uint8 [height, width, C].
    """
    sigmas = model.noise.sigmas
    sigmas = sigmas[np.linspace(0, len(sigmas) - 1, min(levels, len(sigmas))).astype(int)]
    noise = np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    rows = []
    for sigma in sigmas:
        noisy = images + sigma * noise
        rows += [images, noisy, model.denoise(noisy).numpy()]
    return pictures.image_grid(np.concatenate(rows), columns=len(images))
