"""Synthetic data: a mixture of Gaussians in the plane, with known energy, and images of blobs."""

import numpy as np
import tensorflow as tf

__all__ = ["MIXTURE_STD", "blobs", "mixture", "mixture_energy", "mixture_means"]

# Standard deviation of each Gaussian of the mixture. The eight means are on a circle around the
# center of the unit square.
MIXTURE_STD = 0.03
_NUM_MEANS, _RADIUS = 8, 0.3

# Blobs that are computed at a time.
_PART = 256


def mixture_means() -> np.ndarray:
    """The means of the mixture's Gaussians, float32 [8, 2]."""
    angles = 2 * np.pi * np.arange(_NUM_MEANS) / _NUM_MEANS
    return (0.5 + _RADIUS * np.stack([np.cos(angles), np.sin(angles)], -1)).astype(np.float32)


def mixture(count: int) -> np.ndarray:
    """Samples of the mixture, clipped to the unit square: float32 [count, 1, 1, 2].

    A point is an "image" of one pixel and two channels. The points are the same at every call.
    """
    generator = np.random.default_rng(0)
    points = mixture_means()[generator.integers(_NUM_MEANS, size=count)]
    points = points + MIXTURE_STD * generator.standard_normal((count, 2))
    return np.clip(points, 0, 1).astype(np.float32)[:, None, None, :]


def mixture_energy(points: tf.Tensor, sigmas: np.ndarray) -> tf.Tensor:
    """The energy that training with the weighting "score" converges to, up to a constant.

    It is -log of sum_k sigma_k^2 p_k / sum_k sigma_k^2, where p_k is the density of the mixture
    plus Gaussian noise of level sigma_k. See `NoiseLevels` about the weighting.

    Args:
        points: [B, 1, 1, 2].
        sigmas: noise levels [K], positive.

    Returns:
        energies [B].
    """
    import tensorflow_probability as tfp

    levels = np.tile(np.asarray(sigmas, np.float32), _NUM_MEANS)
    std = np.sqrt(MIXTURE_STD**2 + levels**2)[:, None].repeat(2, axis=1)
    distribution = tfp.distributions.MixtureSameFamily(
        tfp.distributions.Categorical(logits=2 * np.log(levels)),
        tfp.distributions.MultivariateNormalDiag(mixture_means().repeat(len(sigmas), axis=0), std),
    )
    return -distribution.log_prob(tf.reshape(points, [-1, 2]))


def blobs(count: int, image_size: int, channels: int) -> np.ndarray:
    """Images of one soft blob each, with random position, width and color: uint8 [N, S, S, C].

    The images are the same at every call.

    Args:
        count: number N of images.
        image_size: side S in pixels.
        channels: number C of channels.
    """
    generator = np.random.default_rng(0)
    x_center, y_center = generator.uniform(0.2, 0.8, (2, count, 1, 1, 1))
    width = generator.uniform(0.1, 0.2, (count, 1, 1, 1))
    color = generator.uniform(0.3, 1.0, (count, 1, 1, channels))
    axis = (np.arange(image_size) + 0.5) / image_size
    y, x = axis[None, :, None, None], axis[None, None, :, None]
    images = np.empty((count, image_size, image_size, channels), np.uint8)
    # In parts, since a pixel takes eight bytes while it is computed.
    for first in range(0, count, _PART):
        part = slice(first, first + _PART)
        squared_distance = (x - x_center[part]) ** 2 + (y - y_center[part]) ** 2
        heights = np.exp(-squared_distance / (2 * width[part] ** 2))
        images[part] = np.round(255 * color[part] * heights)
    return images
