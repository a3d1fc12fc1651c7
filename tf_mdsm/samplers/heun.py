"""The probability-flow equation, by Heun's method."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.conditioning import Known
from tf_mdsm.samplers.denoiser_based import NoiseGridSampler

__all__ = ["Heun"]


@dataclasses.dataclass(frozen=True)
class Heun(NoiseGridSampler):
    """Heun's method for dx/dsigma = (x - D(x)) / sigma, down a grid of noise levels.

    Source: Karras et al., "Elucidating the design space of diffusion-based generative models"
    (EDM), algorithm 2 with S_noise = 1 and no S_min, S_max. A step from sigma to sigma' first
    adds noise up to sigma_hat = (1 + gamma) sigma, gamma = min(churn / N, sqrt(2) - 1), but
    never above the first level, beyond which the denoiser may know nothing; then

        d = (x - D(x)) / sigma_hat,  x' = x + (sigma' - sigma_hat) d,
        x <- x + (sigma' - sigma_hat) (d + (x' - D(x')) / sigma') / 2

    Were D the best denoiser at each level, the law at sigma would be the data's under noise
    sigma, with an error of second order in the steps; nothing corrects it: not calibrated. D
    being blind, sigma enters through the steps only. N levels cost 2 N - 1 gradients.

    Attributes:
        churn: S_churn of EDM; 0: no noise, the image is a function of its start.
    """

    churn: float = 0.0

    @property
    def max_gradient_evaluations(self) -> int:
        return 2 * len(self.sigmas) - 1

    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, known: Known | None
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        """As `Sampler` has it; the energy is that of the churned images."""
        sigma, next_sigma = (tf.constant(self.sigmas)[number + k] for k in (0, 1))
        if self.churn:
            gamma = min(self.churn / len(self.sigmas), np.sqrt(2) - 1)
            churned = np.minimum((1 + gamma) * self.sigmas.astype(float), self.sigmas[0])
            added = tf.constant(np.sqrt(churned**2 - self.sigmas.astype(float) ** 2), tf.float32)
            noise = randomness.normal(seeds, (number, 0), "churn", tuple(images.shape[1:]))
            images = images + added[number] * noise
            sigma = tf.constant(churned, tf.float32)[number]
        energy, denoised = self._denoise(images, known)
        slope, fall = (images - denoised) / sigma, next_sigma - sigma
        guess = images + fall * slope
        _, denoised = self._denoise(guess, known)
        slope_there = (guess - denoised) / next_sigma
        return images + 0.5 * fall * (slope + slope_there), energy, True
