"""Annealed Langevin dynamics, the paper's sampler."""

import dataclasses

import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.base import Target, TemperatureMethod, denoise, energy_and_score
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownData
from tf_mdsm.samplers.values import number

__all__ = ["AnnealedLangevin"]


@dataclasses.dataclass(frozen=True, eq=False)
class AnnealedLangevin(TemperatureMethod):
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
        step_size: epsilon, in pixel units.
        denoise: end with the denoising step D(x) = x + sigma0^2 score(x).
    """

    step_size: float
    denoise: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(step_size=number("step_size", self.step_size, "be positive", lambda e: e > 0))

    @property
    def evaluations_of_step(self) -> int:
        """Gradient evaluations per image in one step: one."""
        return 1

    @property
    def evaluations_at_end(self) -> int:
        """Gradient evaluations per image in the denoising step: one, or none without it."""
        return int(self.denoise)

    def step(
        self,
        target: Target,
        images: tf.Tensor,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
    ) -> tuple[tf.Tensor, tf.Tensor, bool]:
        """One Langevin step, as in `Method.step`."""
        temperature = tf.constant(self.temperatures)[step]
        images = known.project_noisy(images, step, target.sigma0 * tf.sqrt(temperature))
        energy, score = energy_and_score(target, images)
        noise = randomness.normal(seeds, (step, 0), "langevin", tuple(images.shape[1:]))
        noise = self.step_size * tf.sqrt(temperature) * noise
        return images + 0.5 * self.step_size**2 * score + noise, energy, True

    def finish(
        self, target: Target, images: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """Final images: known data without noise, as at temperature 0, and one denoising step."""
        images = known.project(images)
        return denoise(target, images)[1] if self.denoise else images
