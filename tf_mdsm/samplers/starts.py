"""Starting points of sampling: functions from seeds to noisy images."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument

__all__ = ["StartFn", "gaussian_start", "images_start", "isotropic_start"]

# From seeds, int64 [B], to images, float32 [B, H, W, C].
StartFn = Callable[[tf.Tensor], tf.Tensor]


def isotropic_start(image_shape: tuple[int, int, int], sigma: float = 1.0) -> StartFn:
    """Starts at Gaussian noise around gray, 0.5 + sigma N(0, I); the paper's start is sigma = 1.

    Args:
        image_shape: height, width, channels.
        sigma: standard deviation, in pixel units.

    Returns:
        a function from seeds, int64 [B], to images, float32 [B, H, W, C].
    """
    return lambda seeds: 0.5 + sigma * randomness.normal(seeds, (0, 0), "start", image_shape)


def gaussian_start(
    mean: np.ndarray,
    components: np.ndarray,
    variances: np.ndarray,
    residual_variance: float,
    sigma: float,
) -> StartFn:
    """Starts at N(mean, C + sigma^2 I), the training images' Gaussian with noise of level sigma.

    C = sum_i (variances_i - residual) v_i v_i' + residual I, as in `ImageStatistics`.

    Args:
        mean: mean of the images, float32 [H, W, C].
        components: orthonormal directions v_i, float32 [r, H, W, C].
        variances: variances along these directions, [r].
        residual_variance: variance along all other directions.
        sigma: noise level at which sampling starts, in pixel units.

    Returns:
        a function from seeds, int64 [B], to images, float32 [B, H, W, C].
    """
    scales = np.sqrt(np.maximum(variances - residual_variance, 0.0))
    scaled_components = tf.constant(
        components.reshape(len(scales), mean.size) * scales[:, None], tf.float32
    )
    residual_std = float(np.sqrt(sigma**2 + residual_variance))

    def start(seeds: tf.Tensor) -> tf.Tensor:
        coordinates = randomness.normal(seeds, (0, 0), "start_components", (len(scales),))
        offset = tf.reshape(tf.matmul(coordinates, scaled_components), [-1, *mean.shape])
        noise = randomness.normal(seeds, (0, 0), "start", mean.shape)
        return offset + mean + residual_std * noise

    return start


def images_start(images: np.ndarray, sigma: float) -> StartFn:
    """Starts at given images with noise of level sigma; seed s starts at image s mod N.

    Args:
        images: float32 [N, H, W, C].
        sigma: noise level at which sampling starts, in pixel units.

    Returns:
        a function from seeds, int64 [B], to images, float32 [B, H, W, C].

    Raises:
        InvalidArgument: if there are no images, or their pixels are not finite.
    """
    if images.ndim != 4 or not images.size or not np.isfinite(images).all():
        raise InvalidArgument("images", "be finite, [N, H, W, C]", f"shape {images.shape}")
    image_tensor = tf.constant(images, tf.float32)

    def start(seeds: tf.Tensor) -> tf.Tensor:
        noise = randomness.normal(seeds, (0, 0), "start", images.shape[1:])
        return tf.gather(image_tensor, tf.math.floormod(seeds, len(images))) + sigma * noise

    return start
