"""Annealed Langevin dynamics, the paper's sampler."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.base import EnergyAndScoreFn, Sampler
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownData
from tf_mdsm.samplers.schedules import require_schedule
from tf_mdsm.samplers.starts import StartFn

__all__ = ["AnnealedLangevin"]


@dataclasses.dataclass(frozen=True)
class AnnealedLangevin(Sampler):
    """Langevin dynamics with a falling temperature, the paper's sampler (MDSM, section 4).

        x <- x + step_size^2 / 2 * score(x) + step_size * sqrt(T) * N(0, I)

    and one denoising step at the end. At constant T and with small steps the distribution of the
    images is exp(-E / T), up to a constant. The sampler is not calibrated: without an
    accept-reject step the discretization error remains. For a Gaussian target of variance s^2 T
    the variance of the samples is s^2 T / (1 - step_size^2 / (4 s^2)). NCSN's "step size" is our
    step_size^2 / 2, that of TensorFlow Probability is our step_size^2.

    At temperature T the images look like clean images with noise of level sigma0 sqrt(T). So known
    data get noise of this level. (The authors' published sampler uses the level sigma0 T^(1/4).)

    Attributes:
        energy_and_score_fn: from images to energies [B] and scores -dE/dx [B, H, W, C].
        denoise_fn: from images to denoised images, for the final denoising step; None: without
            this step.
        start_fn: from seeds to the images at which sampling starts.
        temperatures: T of each step, never negative, never rising, float32 [steps].
        step_size: epsilon, in pixel units.
        sigma0: fixed kernel width of the training loss, in pixel units.
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
        """Number of steps: one for each temperature."""
        return len(self.temperatures)

    @property
    def max_gradient_evaluations(self) -> int:
        """Gradient evaluations per image: one for each step, and one for the denoising step."""
        return self.num_steps + (self.denoise_fn is not None)

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        """Temperature of each step: its name and its values [num_steps]."""
        return "temperature", self.temperatures

    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, step: tf.Tensor, known: KnownData
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        """One Langevin step, as in `Sampler.step`."""
        temperature = tf.constant(self.temperatures)[step]
        images = known.project_noisy(images, step, self.sigma0 * tf.sqrt(temperature))
        energy, score = self.energy_and_score_fn(images)
        noise = randomness.normal(seeds, (step, 0), "langevin", tuple(images.shape[1:]))
        noise = self.step_size * tf.sqrt(temperature) * noise
        return images + 0.5 * self.step_size**2 * score + noise, energy, True

    def finish(self, images: tf.Tensor, known: KnownData = NOTHING_KNOWN) -> tf.Tensor:
        """Final images: known data without noise, as at temperature 0, and one denoising step."""
        images = known.project(images)
        return images if self.denoise_fn is None else self.denoise_fn(images)
