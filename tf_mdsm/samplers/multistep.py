"""The two-step method of DPM-Solver++ for the probability-flow equation: one gradient a step."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.base import NoiseGridMethod, Target
from tf_mdsm.samplers.conditioning import KnownData

__all__ = ["Multistep"]


@dataclasses.dataclass(frozen=True, eq=False)
class Multistep(NoiseGridMethod):
    """A two-step method for dx/dsigma = (x - D(x)) / sigma, along a grid of falling noise levels.

    Source: Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling of diffusion
    probabilistic models", algorithm 2 (2M), for noise that is added without a change of scale.
    A step goes from sigma to sigma'. The denoised image D(x) is extrapolated by the one of the step
    before, D_before, at the level sigma_before:

        h = log(sigma / sigma'), h_before = log(sigma_before / sigma)
        D <- D(x) + h / (2 h_before) (D(x) - D_before)
        x <- sigma' / sigma x + (1 - sigma' / sigma) D

    The first step has no D_before, and is Euler's method. Not calibrated, as `Heun`, whose order
    it has: the error is of second order in the step size. N levels cost N gradient evaluations,
    Heun's method 2 N - 1.
    """

    @property
    def evaluations_of_step(self) -> int:
        """Gradient evaluations per image in one step: one."""
        return 1

    def initial_state(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The images, and what stands for D_before in the first step, which does not use it."""
        return images, tf.zeros_like(images)

    def images_of(self, state: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """The images, without D_before."""
        return state[0]

    def step(
        self,
        target: Target,
        state: tuple[tf.Tensor, tf.Tensor],
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor, bool]:
        """One step to the next noise level, as in `Method.step`."""
        images, denoised_before = state
        fall = np.log(self.sigmas[:-1].astype(float) / self.sigmas[1:])
        extrapolation = np.append(0.0, fall[1:] / (2 * fall[:-1]))
        remaining = tf.constant(np.exp(-fall), tf.float32)[step]
        energy, denoised = self.denoise(target, images, known)
        ahead = tf.constant(extrapolation, tf.float32)[step] * (denoised - denoised_before)
        images = remaining * images + (1.0 - remaining) * (denoised + ahead)
        return (images, denoised), energy, True
