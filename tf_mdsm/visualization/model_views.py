"""Pictures of an energy model: samples, denoised images, the energy landscape of points."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.system.batchwise import batchwise
from tf_mdsm.visualization.images import image_grid
from tf_mdsm.visualization.plots import landscapes

__all__ = ["denoising_strip", "is_points", "samples_picture"]

# Number of points along each axis of an energy landscape.
_RESOLUTION = 101


def is_points(image_shape: tuple[int, ...]) -> bool:
    """Whether "images" of this shape [H, W, C] are points of the plane: one pixel, two channels."""
    return tuple(image_shape) == (1, 1, 2)


def samples_picture(
    model: EnergyModel,
    images: np.ndarray,
    true_energy: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> np.ndarray:
    """A picture of samples: a grid of images, or points on the learned energy landscape.

    Args:
        model: the energy model, which is used for points only.
        images: samples, [N, H, W, C].
        true_energy: function from points [B, 1, 1, 2] to energies [B], if it is known. It is
            plotted next to the learned energy.

    Returns:
        uint8 [height, width, C].
    """
    if not is_points(model.image_shape):
        return image_grid(images)
    axis = np.linspace(0, 1, _RESOLUTION, dtype=np.float32)
    mesh = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 1, 2)
    energies: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
        "learned energy and samples": model.energy
    }
    if true_energy is not None:
        energies["true energy"] = true_energy
    values = {
        title: np.reshape(energy(tf.constant(mesh)), (_RESOLUTION, _RESOLUTION))
        for title, energy in energies.items()
    }
    return landscapes(values, images.reshape(-1, 2))


def denoising_strip(
    model: EnergyModel, images: np.ndarray, levels: int = 6, *, batch_size: int = 64
) -> np.ndarray:
    """A grid of clean, noisy and denoised images: these three rows for each noise level.

    Args:
        model: the energy model, which denoises.
        images: clean images, [N, H, W, C], one for each column.
        levels: number of noise levels to show, at most; they are evenly spaced over the model's.
        batch_size: number of images that are denoised at the same time.

    Returns:
        uint8 [height, width, C].
    """
    sigmas = model.noise.sigmas
    sigmas = sigmas[np.linspace(0, len(sigmas) - 1, min(levels, len(sigmas))).astype(int)]
    noise = np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    rows = []
    for sigma in sigmas:
        noisy = images + sigma * noise
        rows += [images, noisy, batchwise(model.denoise, noisy, batch_size=batch_size)]
    return image_grid(np.concatenate(rows), columns=len(images))
