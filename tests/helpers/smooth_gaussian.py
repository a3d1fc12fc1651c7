"""A Gaussian of smooth images on a torus: its blind denoiser as a target, and its posterior."""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tf_mdsm.noise import NoiseLevels

__all__ = ["SmoothGaussian"]


@dataclasses.dataclass(frozen=True)
class SmoothGaussian:
    """N(1/2, C) of square images; the variance of a frequency falls with its fourth power.

    As a target it claims to take images of any size. Its D(x) is the best denoiser of the level
    that it finds in the highest quarter of the frequencies, where the images have nearly nothing.

    Attributes:
        side: height and width.
        length: pixels over which images are alike.
        noise: the noise levels that it denoises.
    """

    side: int
    length: float
    noise: NoiseLevels
    sigma0: float = 0.1

    @property
    def image_shape(self) -> tuple[None, None, int]:
        """Any size."""
        return None, None, 1

    @property
    def _variances(self) -> np.ndarray:
        """Of each frequency, with orthonormal waves; a pixel has variance 1/4, [side, side]."""
        one = 2 * np.sin(np.pi * np.arange(self.side) / self.side)
        roughness = one[:, None] ** 2 + one**2 + 1 / self.length**2
        variances = roughness**-2.0
        return variances / variances.mean() / 4

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Zeros, and the score that belongs to D(x)."""
        score = (self._denoise(images) - images) / self.sigma0**2
        return tf.zeros(tf.shape(images)[0]), score

    def _denoise(self, images: tf.Tensor) -> tf.Tensor:
        variances = self._variances
        waves = tf.signal.fft2d(tf.cast(images[..., 0] - 0.5, tf.complex64)) / self.side
        highest = variances <= np.quantile(variances, 0.25)
        powers = tf.boolean_mask(tf.abs(waves) ** 2, highest, axis=1)
        found = tf.reduce_mean(powers, axis=1) - variances[highest].mean()
        of_noise = tf.maximum(found, 1e-9)[:, None, None]
        kept = tf.cast(variances / (variances + of_noise), tf.complex64)
        return 0.5 + self.side * tf.math.real(tf.signal.ifft2d(kept * waves))[..., None]

    def posterior(self, known: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, float]:
        """Mean of the unknown pixels, and the root of the mean of their variances.

        Args:
            known: which pixels are known, bool [side, side].
            image: [side, side].
        """
        row = np.fft.ifft2(self._variances).real
        places = np.stack(np.mgrid[: self.side, : self.side]).reshape(2, -1).T
        # Negative indices go around the torus.
        down, right = (places[:, None] - places).transpose(2, 0, 1)
        covariance = row[down, right]
        known = known.ravel()
        gain = np.linalg.solve(covariance[np.ix_(known, known)], covariance[np.ix_(known, ~known)])
        mean = 0.5 + gain.T @ (image.ravel()[known] - 0.5)
        left = covariance[np.ix_(~known, ~known)] - covariance[np.ix_(~known, known)] @ gain
        return mean, math.sqrt(np.trace(left) / len(left))
