"""Coarse-to-fine ascent: the denoiser estimates each image's noise level and sets its pace."""

import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.losses import noise_level
from tf_mdsm.samplers.base import DenoiserMethod, Target
from tf_mdsm.samplers.conditioning import KnownData
from tf_mdsm.samplers.schedules import checked_schedule, growing_step_sizes
from tf_mdsm.samplers.values import number

__all__ = ["CoarseToFine"]


@dataclasses.dataclass(frozen=True, eq=False)
class CoarseToFine(DenoiserMethod):
    """Stochastic coarse-to-fine ascent.

    Source: Kadkhodaie and Simoncelli, "Solving linear inverse problems using the prior implicit
    in a denoiser" (2020), algorithm 1; with known pixels, algorithm 2. The denoiser itself
    estimates the noise level of an image with d values:

        f = D(x) - x,  sigma = |f| / sqrt(d),  x <- x + h_t f + gamma_t N(0, I),
        gamma_t^2 = [(1 - beta h_t)^2 - (1 - h_t)^2] sigma^2

    so that a step multiplies the noise level by 1 - beta h_t; without the added noise it would be
    1 - h_t. An image is finished when its sigma is below `sigma_end`. It then stays unchanged,
    whatever the others do, and the run ends when all images are finished. The final image is
    D(x). Not calibrated: the paper states no target distribution. With beta near 1 the method is
    an ascent to a mode.

    Known pixels have noise of the same sigma as the others, so few missing pixels do not fall
    behind. But the start decides the coarse features of a large hole: an image around gray is right
    only if noise of level `sigma_start` hides it (`SmoothStart`). With h = 1 each step is
    x <- D(x) + (1 - beta) sigma N(0, I): this forgets the start fastest.

    sigma is biased low, because a denoiser leaves some noise in the image. So `sigma_end` should
    not be far below the smallest noise level of training.

    Attributes:
        sigma_start: noise level of the starting images, in pixel units.
        sigma_end: noise level below which an image is finished, in pixel units.
        step_sizes: h of each step, in (0, 1], float32 [steps]. Images that are not finished after
            the last step are used as they are.
        beta: in (0, 1]; with 1 no noise is added.
    """

    sigma_start: float
    sigma_end: float
    step_sizes: np.ndarray = dataclasses.field(default_factory=growing_step_sizes)
    beta: float = 0.5

    def __post_init__(self) -> None:
        in_range = "lie in (0, 1]"
        self._set(
            sigma_start=number("sigma_start", self.sigma_start, "be positive", lambda s: s > 0),
            sigma_end=number("sigma_end", self.sigma_end, "not be negative", lambda s: s >= 0),
            step_sizes=checked_schedule(
                "step_sizes", self.step_sizes, in_range, lambda h: 0 < h.min() <= h.max() <= 1
            ),
            beta=number("beta", self.beta, in_range, lambda b: 0 < b <= 1),
        )

    @property
    def num_steps(self) -> int:
        """Maximum number of steps: one for each of `step_sizes`."""
        return len(self.step_sizes)

    @property
    def evaluations_of_step(self) -> int:
        """Gradient evaluations per image in one step: one."""
        return 1

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        """Step size h of each step: its name and its values [num_steps]."""
        return "step size h", self.step_sizes

    def sigma_range(self, target: Target) -> tuple[float, float]:
        """The levels `sigma_end` and `sigma_start`."""
        del target
        return self.sigma_end, self.sigma_start

    def step(
        self,
        target: Target,
        images: tf.Tensor,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """One step for the images that are not finished, as in `Method.step`."""
        energy, denoised = self.denoise(target, images, known)
        ascent = denoised - images
        sigma = noise_level(images, denoised)[:, None, None, None]
        moved = images + tf.constant(self.step_sizes)[step] * ascent
        if self.beta < 1:
            h = self.step_sizes.astype(float)
            gamma = tf.constant(np.sqrt((1 - self.beta * h) ** 2 - (1 - h) ** 2), tf.float32)
            noise = randomness.normal(seeds, (step, 0), "coarse_to_fine", tuple(images.shape[1:]))
            moved += gamma[step] * sigma * noise
        is_unfinished = sigma >= self.sigma_end
        return tf.where(is_unfinished, moved, images), energy, tf.reduce_any(is_unfinished)
