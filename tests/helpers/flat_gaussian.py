"""A Gaussian of images that is wide in a few directions: its likelihood and its blind denoiser."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.starts import GaussianStart

__all__ = ["FlatGaussian"]


@dataclasses.dataclass(frozen=True)
class FlatGaussian:
    """N(1/2, wide^2) of the first `rank` values of an image, N(1/2, narrow^2) of all others.

    Attributes:
        shape: height, width, channels.
        rank: number of wide directions, fewer than half of all.
        wide: standard deviation along them.
        narrow: standard deviation along all others.
    """

    shape: tuple[int, int, int]
    rank: int
    wide: float = 0.5
    narrow: float = 0.02

    @property
    def is_wide(self) -> np.ndarray:
        """1 for a wide value, 0 for a narrow one, float32 [H, W, C]."""
        values = np.arange(math.prod(self.shape)) < self.rank
        return values.reshape(self.shape).astype(np.float32)

    @property
    def stds(self) -> np.ndarray:
        """Standard deviations, float32 [H, W, C]."""
        return self.is_wide * self.wide + (1 - self.is_wide) * self.narrow

    def images(self, count: int) -> np.ndarray:
        """Images of this Gaussian, float32 [N, H, W, C]."""
        normal = np.random.default_rng(0).standard_normal((count, *self.shape))
        return (0.5 + self.stds * normal).astype(np.float32)

    def nats(self, images: np.ndarray) -> np.ndarray:
        """-log density of images, float64 [N]."""
        stds = self.stds.astype(np.float64)
        terms = ((images - 0.5) / stds) ** 2 / 2 + np.log(stds * math.sqrt(2 * math.pi))
        return terms.sum(axis=(1, 2, 3))

    def denoise(self, noisy: tf.Tensor, sigma: float | None = None) -> tf.Tensor:
        """E[image | noisy image]; the noise level is seen in the narrow values unless given."""
        offset = noisy - 0.5
        if sigma is None:
            narrow_squares = tf.reduce_sum(((1 - self.is_wide) * offset) ** 2, axis=(1, 2, 3))
            mean = narrow_squares / (math.prod(self.shape) - self.rank)
            noise = tf.maximum(mean - self.narrow**2, 1e-9)[:, None, None, None]
        else:
            noise = sigma**2
        variances = self.stds**2
        return 0.5 + offset * variances / (variances + noise)

    def start(self, sigma: float) -> GaussianStart:
        """The start at noise of level sigma."""
        units = np.eye(math.prod(self.shape), dtype=np.float32)[: self.rank]
        return GaussianStart(
            np.full(self.shape, 0.5),
            units.reshape(self.rank, *self.shape),
            np.full(self.rank, self.wide**2),
            self.narrow**2,
            sigma,
        )
