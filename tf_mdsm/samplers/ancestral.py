"""Ancestral sampling: the reverse of adding noise, one noise level after the other."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.base import NoiseGridMethod, Target
from tf_mdsm.samplers.conditioning import KnownData

__all__ = ["AncestralEuler"]


@dataclasses.dataclass(frozen=True, eq=False)
class AncestralEuler(NoiseGridMethod):
    """Ancestral sampling along a grid of falling noise levels.

    Adding independent Gaussian noise raises the noise level from sigma' to sigma. By Bayes' rule,
    given the clean image D and the image x at level sigma, the image at level sigma' is Gaussian:

        mean D + (sigma' / sigma)^2 (x - D),  variance sigma'^2 (sigma^2 - sigma'^2) / sigma^2

    In Karras' notation this is Euler's step from sigma down to sigma_down = sigma'^2 / sigma, and
    then noise of level sigma_up, with sigma_down^2 + sigma_up^2 = sigma'^2. It is the posterior
    step of DDPM (Ho et al., 2020) for variance-exploding noise, and, in the limit of many steps,
    the Euler-Maruyama method for the reverse equation.

    Not calibrated: if D were the clean image itself, the distribution at each level would be
    exact. But D is the mean of the clean images, so the distribution is right to first order in
    the step size, and nothing corrects the error. N levels cost N gradient evaluations.
    """

    @property
    def evaluations_of_step(self) -> int:
        """Gradient evaluations per image in one step: one."""
        return 1

    def step(
        self,
        target: Target,
        images: tf.Tensor,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        """One step to the next noise level, as in `Method.step`."""
        sigma, next_sigma = self.sigmas[:-1].astype(float), self.sigmas[1:].astype(float)
        residual_weight = tf.constant((next_sigma / sigma) ** 2, tf.float32)[step]
        sigma_up = next_sigma * np.sqrt(1 - (next_sigma / sigma) ** 2)
        energy, denoised = self.denoise(target, images, known)
        noise = randomness.normal(seeds, (step, 0), "ancestral", tuple(images.shape[1:]))
        noise = tf.constant(sigma_up, tf.float32)[step] * noise
        return denoised + residual_weight * (images - denoised) + noise, energy, True
