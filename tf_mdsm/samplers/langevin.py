"""Langevin dynamics."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.base import EnergyAndScoreFn, Sampler
from tf_mdsm.samplers.conditioning import Known
from tf_mdsm.samplers.schedules import require_schedule
from tf_mdsm.samplers.starts import StartFn

__all__ = ["AnnealedLangevin"]


@dataclasses.dataclass(frozen=True)
class AnnealedLangevin(Sampler):
    """The paper's sampler: Langevin dynamics under a falling temperature (MDSM, section 4).

        x <- x + step_size^2 / 2 * score(x) + step_size * sqrt(T) * N(0, I)

    and one denoising step at the end. At constant T and small steps its law is exp(-E / T); it
    is not calibrated: a Gaussian of variance s^2 T comes out with variance
    s^2 T / (1 - step_size^2 / (4 s^2)). Other projects' step sizes are step_size^2 / 2 (NCSN) or
    step_size^2 (TensorFlow Probability).

    At temperature T the chain moves among images noised by sigma0 sqrt(T): that is the level of
    what is known, if something is. (The authors' published sampler noises it by
    sigma0 T^(1/4).)

    Attributes:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        denoise_fn: images to denoised images, the last step; None: leave the step out.
        start_fn: seeds to the images where the chains begin.
        temperatures: T of each step, never negative, never rising, float32 [steps].
        step_size: epsilon, in pixel units.
        sigma0: the loss' fixed kernel width.
    """

    energy_and_score_fn: EnergyAndScoreFn
    denoise_fn: Callable[[tf.Tensor], tf.Tensor] | None
    start_fn: StartFn
    temperatures: np.ndarray
    step_size: float
    sigma0: float

    def __post_init__(self):
        require_schedule(
            "temperatures",
            self.temperatures,
            "never be negative, and never rise",
            lambda t: t.min() >= 0 and (np.diff(t) <= 0).all(),
        )

    @property
    def num_steps(self) -> int:
        return len(self.temperatures)

    @property
    def max_gradient_evaluations(self) -> int:
        return self.num_steps + (self.denoise_fn is not None)

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        return "temperature", self.temperatures

    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, known: Known | None
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        temperature = tf.constant(self.temperatures)[number]
        if known:
            images = known.project_noisy(images, number, self.sigma0 * tf.sqrt(temperature))
        energy, score = self.energy_and_score_fn(images)
        noise = randomness.normal(seeds, (number, 0), "langevin", tuple(images.shape[1:]))
        noise = self.step_size * tf.sqrt(temperature) * noise
        return images + 0.5 * self.step_size**2 * score + noise, energy, True

    def finish(self, images: tf.Tensor, known: Known | None = None) -> tf.Tensor:
        """The last step, where the temperature has fallen to 0."""
        if known:
            images = known.project(images)
        return images if self.denoise_fn is None else self.denoise_fn(images)
