"""Where chains begin: functions of seeds."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument

__all__ = ["StartFn", "gaussian_start", "images_start", "isotropic_start"]

# Seeds, int64 [B], to images, float32 [B, H, W, C].
StartFn = Callable[[tf.Tensor], tf.Tensor]


def isotropic_start(image_shape: tuple[int, int, int], sigma: float = 1.0) -> StartFn:
    """0.5 + sigma N(0, I); the paper's start has sigma = 1.

    Args:
        image_shape: height, width, channels.
        sigma: standard deviation, in pixel units.
    """
    return lambda seeds: 0.5 + sigma * randomness.normal(seeds, (0, 0), "start", image_shape)


def gaussian_start(
    mean: np.ndarray,
    components: np.ndarray,
    variances: np.ndarray,
    residual_variance: float,
    sigma: float,
) -> StartFn:
    """N(mean, C + sigma^2 I): the training images' Gaussian under noise of level sigma.

    C = sum_i (variances_i - residual) v_i v_i' + residual I, as `ImageStatistics` has it.

    Args:
        mean: float32 [H, W, C].
        components: orthonormal v_i, float32 [r, H, W, C].
        variances: along them, [r].
        residual_variance: along all other directions.
        sigma: the noise level at which the chain begins, in pixel units.
    """
    scales = np.sqrt(np.maximum(variances - residual_variance, 0.0))
    scaled = tf.constant(components.reshape(len(scales), mean.size) * scales[:, None], tf.float32)
    width = float(np.sqrt(sigma**2 + residual_variance))

    def start(seeds: tf.Tensor) -> tf.Tensor:
        weights = randomness.normal(seeds, (0, 0), "start_components", (len(scales),))
        offset = tf.reshape(tf.matmul(weights, scaled), [-1, *mean.shape])
        noise = randomness.normal(seeds, (0, 0), "start", mean.shape)
        return mean + offset + width * noise

    return start


def images_start(images: np.ndarray, sigma: float) -> StartFn:
    """Given images under noise of level sigma; seed s begins at image s mod N.

    Args:
        images: float32 [N, H, W, C].
        sigma: the noise level at which the chain begins, in pixel units.

    Raises:
        InvalidArgument: for images that are none, or not finite.
    """
    if images.ndim != 4 or not images.size or not np.isfinite(images).all():
        raise InvalidArgument("images", "be finite, [N, H, W, C]", f"shape {images.shape}")
    images = tf.constant(images, tf.float32)

    def start(seeds: tf.Tensor) -> tf.Tensor:
        noise = randomness.normal(seeds, (0, 0), "start", tuple(images.shape[1:]))
        return tf.gather(images, seeds % len(images)) + sigma * noise

    return start
