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


def mixture_energy(points: tf.Tensor, sigmas: np.ndarray) -> tf.Tensor:
    """-log of the mixture's density smoothed by noise: sum_k sigma_k^2 p_k / sum_k sigma_k^2.

    This is the energy (up to a constant) that the weighting "score" leads to, see
    `NoiseLevels`.

    Args:
        points: [B, 1, 1, 2].
        sigmas: noise levels [K], positive.

    Returns:
        energies [B].
    """
    import tensorflow_probability as tfp

    levels = np.tile(np.asarray(sigmas, np.float32), _MODES)
    std = np.sqrt(MIXTURE_STD**2 + levels**2)[:, None].repeat(2, axis=1)
    law = tfp.distributions.MixtureSameFamily(
        tfp.distributions.Categorical(logits=2 * np.log(levels)),
        tfp.distributions.MultivariateNormalDiag(mixture_means().repeat(len(sigmas), axis=0), std),
    )
    return -law.log_prob(tf.reshape(points, [-1, 2]))


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
