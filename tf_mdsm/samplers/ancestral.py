"""The reverse of the noising, step by step."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.conditioning import Known
from tf_mdsm.samplers.denoiser_based import NoiseGridSampler

__all__ = ["AncestralEuler"]


@dataclasses.dataclass(frozen=True)
class AncestralEuler(NoiseGridSampler):
    """Ancestral sampling down a grid of noise levels.

    Noising adds independent Gaussian noise from level sigma' up to sigma. Given the clean image
    D, the image at sigma' is therefore, by Bayes' rule, Gaussian:

        mean D + (sigma' / sigma)^2 (x - D),  variance sigma'^2 (sigma^2 - sigma'^2) / sigma^2

    In Karras' terms: Euler's step from sigma down to sigma_down = sigma'^2 / sigma, then noise
    sigma_up, with sigma_down^2 + sigma_up^2 = sigma'^2. It is the posterior step of DDPM (Ho et
    al., 2020) for variance-exploding noise, and Euler-Maruyama for the reverse equation in the
    limit of many steps.

    Were D the clean image itself, each level's law would be exact. D is its mean, so that the
    law is right to first order in the steps; nothing corrects it: not calibrated. N levels cost
    N gradients.
    """

    @property
    def max_gradient_evaluations(self) -> int:
        return len(self.sigmas)

    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, known: Known | None
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        sigma, next_sigma = self.sigmas[:-1].astype(float), self.sigmas[1:].astype(float)
        kept = tf.constant((next_sigma / sigma) ** 2, tf.float32)[number]
        sigma_up = next_sigma * np.sqrt(1 - (next_sigma / sigma) ** 2)
        energy, denoised = self._denoise(images, known)
        noise = randomness.normal(seeds, (number, 0), "ancestral", tuple(images.shape[1:]))
        noise = tf.constant(sigma_up, tf.float32)[number] * noise
        return denoised + kept * (images - denoised) + noise, energy, True
