"""Ascent by the denoiser, each image at its own pace."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.conditioning import Known
from tf_mdsm.samplers.denoiser_based import DenoiserSampler
from tf_mdsm.samplers.schedules import require_schedule

__all__ = ["CoarseToFine"]


@dataclasses.dataclass(frozen=True)
class CoarseToFine(DenoiserSampler):
    """Stochastic coarse-to-fine ascent.

    Source: Kadkhodaie and Simoncelli, "Solving linear inverse problems using the prior implicit
    in a denoiser" (2020), algorithm 1; with known pixels, algorithm 2. The denoiser itself says
    how noisy an image of d values still is:

        f = D(x) - x,  sigma = |f| / sqrt(d),  x <- x + h_t f + gamma_t N(0, I),
        gamma_t^2 = [(1 - beta h_t)^2 - (1 - h_t)^2] sigma^2

    so that the noise level falls by the factor 1 - beta h_t, where plain ascent would have it
    fall by 1 - h_t. An image whose sigma is below `sigma_end` has arrived and stays as it is,
    whatever the others do; the stretch ends when all have arrived. Then D(x) is taken. The
    paper has no target law: not calibrated. With beta near 1 it is an ascent to a mode.

    sigma is biased low, as a denoiser leaves some noise in: `sigma_end` should not lie far below
    the smallest trained level.

    Attributes:
        step_sizes: h of each step, in (0, 1], float32 [steps]; chains that have not arrived by
            then end there.
        beta: in (0, 1]; 1: no noise.
        sigma_start: the noise level of `start_fn`'s images.
        sigma_end: the noise level where an image has arrived.
    """

    step_sizes: np.ndarray
    beta: float
    sigma_start: float
    sigma_end: float

    def __post_init__(self):
        fits = "lie in (0, 1]"
        require_schedule("step_sizes", self.step_sizes, fits, lambda h: 0 < h.min() <= h.max() <= 1)
        if not 0 < self.beta <= 1:
            raise InvalidArgument("beta", fits, self.beta)

    @property
    def first_sigma(self) -> float:
        return self.sigma_start

    @property
    def num_steps(self) -> int:
        return len(self.step_sizes)

    @property
    def max_gradient_evaluations(self) -> int:
        return self.num_steps + 1

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        return "step size h", self.step_sizes

    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, known: Known | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        energy, denoised = self._denoise(images, known)
        ascent = denoised - images
        sigma = tf.sqrt(tf.reduce_mean(tf.square(ascent), axis=(1, 2, 3), keepdims=True))
        moved = images + tf.constant(self.step_sizes)[number] * ascent
        if self.beta < 1:
            h = self.step_sizes.astype(float)
            scale = tf.constant(np.sqrt((1 - self.beta * h) ** 2 - (1 - h) ** 2), tf.float32)
            shape = tuple(images.shape[1:])
            noise = randomness.normal(seeds, (number, 0), "coarse_to_fine", shape)
            moved += scale[number] * sigma * noise
        is_moving = sigma >= self.sigma_end
        return tf.where(is_moving, moved, images), energy, tf.reduce_any(is_moving)
