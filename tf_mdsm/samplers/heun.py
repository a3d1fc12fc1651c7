"""Heun's method for the probability-flow equation of diffusion models (EDM)."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.base import NoiseGridMethod, Target
from tf_mdsm.samplers.conditioning import KnownData
from tf_mdsm.samplers.values import number

__all__ = ["Heun"]


@dataclasses.dataclass(frozen=True, eq=False)
class Heun(NoiseGridMethod):
    """Heun's method for dx/dsigma = (x - D(x)) / sigma, along a grid of falling noise levels.

    Source: Karras et al., "Elucidating the design space of diffusion-based generative models"
    (EDM), algorithm 2 with S_noise = 1 and without S_min and S_max. A step goes from
    sigma to sigma', the next of N levels. First, noise raises the level to
    sigma_hat = (1 + gamma) sigma with gamma = min(churn / N, sqrt(2) - 1), but never above the
    first level, because D is perhaps not trained there. Then

        d = (x - D(x)) / sigma_hat,  x' = x + (sigma' - sigma_hat) d,
        x <- x + (sigma' - sigma_hat) (d + (x' - D(x')) / sigma') / 2

    Not calibrated: if D were the best denoiser at each level, the images at level sigma would have
    the distribution of the data with noise of level sigma, up to an error of second order in the
    step size, and nothing corrects this error. D is blind, so sigma enters only through the steps.
    N levels cost 2 N - 1 gradient evaluations.

    Attributes:
        churn: S_churn of EDM. With 0, no noise is added and the image is a function of its start.
    """

    churn: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(churn=number("churn", self.churn, "not be negative", lambda c: c >= 0))

    @property
    def evaluations_of_step(self) -> int:
        """Gradient evaluations per image in one step: one at each of its ends."""
        return 2

    def step(
        self,
        target: Target,
        images: tf.Tensor,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        """One step, as in `Method.step`; the energy is that of the images with churn noise."""
        sigmas = tf.constant(self.sigmas)
        sigma, next_sigma = sigmas[step], sigmas[step + 1]
        # Churn: noise from sigma up to sigma_hat.
        if self.churn:
            gamma = min(self.churn / len(self.sigmas), np.sqrt(2) - 1)
            sigma_hat = np.minimum((1 + gamma) * self.sigmas.astype(float), self.sigmas[0])
            added = tf.constant(np.sqrt(sigma_hat**2 - self.sigmas.astype(float) ** 2), tf.float32)
            noise = randomness.normal(seeds, (step, 0), "churn", tuple(images.shape[1:]))
            images = images + added[step] * noise
            sigma = tf.constant(sigma_hat, tf.float32)[step]
        # Euler's step, and then the mean of the slopes at both of its ends.
        energy, denoised = self.denoise(target, images, known)
        slope, sigma_change = (images - denoised) / sigma, next_sigma - sigma
        euler_images = images + sigma_change * slope
        _, denoised = self.denoise(target, euler_images, known)
        euler_slope = (euler_images - denoised) / next_sigma
        return images + 0.5 * sigma_change * (slope + euler_slope), energy, True
