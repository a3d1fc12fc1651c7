"""Data whose law is known: points of a Gaussian mixture in the plane, and blobs as images."""

import numpy as np
import tensorflow as tf

__all__ = ["MIXTURE_STD", "blobs", "mixture", "mixture_energy", "mixture_means"]

# Eight Gaussians on a circle round the centre of the unit square.
MIXTURE_STD = 0.03
_MODES, _RADIUS = 8, 0.3


def mixture_means() -> np.ndarray:
    """The modes of the mixture, float32 [8, 2]."""
    angles = 2 * np.pi * np.arange(_MODES) / _MODES
    return (0.5 + _RADIUS * np.stack([np.cos(angles), np.sin(angles)], -1)).astype(np.float32)


def mixture(count: int) -> np.ndarray:
    """Points of the mixture as images of one pixel and two channels, float32 [count, 1, 1, 2]."""
    generator = np.random.default_rng(0)
    points = mixture_means()[generator.integers(_MODES, size=count)]
    points = points + MIXTURE_STD * generator.standard_normal((count, 2))
    return np.clip(points, 0, 1).astype(np.float32)[:, None, None, :]


def mixture_energy(points: tf.Tensor, sigmas: tf.Tensor) -> tf.Tensor:
    """-log of the mixture's density, smoothed by noise and averaged over its levels.

    This is the energy (up to a constant) that the weighting "score" leads to.

    Args:
        points: [B, 1, 1, 2].
        sigmas: noise levels [K]; [0.0] for the density of the clean data.

    Returns:
        energies [B].
    """
    offsets = tf.reshape(points, [-1, 1, 2]) - mixture_means()[None]
    squared = tf.reduce_sum(offsets**2, -1)[:, :, None]
    variance = MIXTURE_STD**2 + tf.cast(sigmas, points.dtype)[None, None, :] ** 2
    log_density = -squared / (2 * variance) - tf.math.log(2 * np.pi * variance)
    terms = tf.cast(_MODES * tf.size(sigmas), points.dtype)
    return tf.math.log(terms) - tf.reduce_logsumexp(log_density, axis=(1, 2))


def blobs(count: int, image_size: int, channels: int) -> np.ndarray:
    """Images with one soft blob of random place, width and colour: uint8 [N, S, S, C]."""
    generator = np.random.default_rng(0)
    x_centre, y_centre = generator.uniform(0.2, 0.8, (2, count, 1, 1, 1))
    width = generator.uniform(0.1, 0.2, (count, 1, 1, 1))
    colour = generator.uniform(0.3, 1.0, (count, 1, 1, channels))
    axis = (np.arange(image_size) + 0.5) / image_size
    y, x = axis[None, :, None, None], axis[None, None, :, None]
    squared = (x - x_centre) ** 2 + (y - y_centre) ** 2
    return np.round(255 * colour * np.exp(-squared / (2 * width**2))).astype(np.uint8)
