"""Langevin dynamics."""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.inpainting import KnownPixels
from tf_mdsm.samplers.sampler import EnergyAndScoreFn, Sampler
from tf_mdsm.samplers.starts import StartFn

__all__ = ["AnnealedLangevin", "ConditionFn", "annealed_langevin"]

# Images, number of the step and temperature to images.
ConditionFn = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class AnnealedLangevin(Sampler):
    """The paper's sampler: start, anneal, denoise once at the end (MDSM, section 4).

    Langevin dynamics at temperature T moves among images noised by sigma0 sqrt(T): that is the
    level of the known pixels when some are. (The authors' published sampler noises them by
    sigma0 T^(1/4).)

    Attributes:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        denoise_fn: images to denoised images, the last step; None: leave the step out.
        start_fn: seeds to the images where the chains begin.
        temperatures: T of each step, float32 [steps].
        step_size: epsilon, in pixel units.
        sigma0: the loss' fixed kernel width.
    """

    energy_and_score_fn: EnergyAndScoreFn
    denoise_fn: Callable[[tf.Tensor], tf.Tensor] | None
    start_fn: StartFn
    temperatures: np.ndarray
    step_size: float
    sigma0: float

    @property
    def num_steps(self) -> int:
        return len(self.temperatures)

    @property
    def gradients(self) -> int:
        return self.num_steps + (self.denoise_fn is not None)

    @property
    def clock(self) -> tuple[str, np.ndarray]:
        return "temperature", self.temperatures

    def advance(
        self,
        images: tf.Tensor,
        seeds: tf.Tensor,
        first_step: tf.Tensor | int,
        num_steps: tf.Tensor | int,
        known: KnownPixels | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A stretch of the chain, as `Sampler` has it."""

        def hold(state: tf.Tensor, step: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
            return known.put_in_noised(state, step, self.sigma0 * tf.sqrt(temperature))

        return annealed_langevin(
            self.energy_and_score_fn,
            images,
            seeds,
            tf.constant(self.temperatures)[first_step : first_step + num_steps],
            self.step_size,
            first_step,
            hold if known else None,
        )

    def finish(self, images: tf.Tensor, known: KnownPixels | None = None) -> tf.Tensor:
        """The last step, where the temperature has fallen to 0."""
        if known:
            images = known.put_in(images)
        return images if self.denoise_fn is None else self.denoise_fn(images)


def annealed_langevin(
    energy_and_score_fn: EnergyAndScoreFn,
    images: tf.Tensor,
    seeds: tf.Tensor,
    temperatures: tf.Tensor,
    step_size: float,
    first_step: tf.Tensor | int = 0,
    condition_fn: ConditionFn | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Unadjusted Langevin dynamics under a falling temperature (MDSM, section 4).

        x <- x + step_size^2 / 2 * score(x) + step_size * sqrt(T) * N(0, I)

    At constant T and small steps its law is exp(-E / T); it is not calibrated: a Gaussian of
    variance s^2 T comes out with variance s^2 T / (1 - step_size^2 / (4 s^2)). Other projects'
    step sizes are step_size^2 / 2 (NCSN) or step_size^2 (TensorFlow Probability).

    Each image's noise depends on its seed and the number of the step only, so a chain may be
    cut into calls, each with its `first_step`. To be called from a `tf.function`, of which it
    becomes one loop.

    Args:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        images: where the chain stands, float32 [B, H, W, C].
        seeds: one seed an image, int64 [B], each >= 0.
        temperatures: T of each step, float32 [steps].
        step_size: epsilon, in pixel units.
        first_step: number of the first of these steps.
        condition_fn: applied to the images before each gradient; it can hold to what is known
            of them (`inpainting`).

    Returns:
        the images after the last step, and the energy before each step, float32 [steps, B].
    """
    temperatures = tf.convert_to_tensor(temperatures, images.dtype)
    steps = tf.shape(temperatures)[0]
    image_shape = tuple(images.shape[1:])

    def step(i, images, energies):
        if condition_fn is not None:
            images = condition_fn(images, first_step + i, temperatures[i])
        energy, score = energy_and_score_fn(images)
        noise = randomness.normal(seeds, (first_step + i, 0), "langevin", image_shape)
        noise = step_size * tf.sqrt(temperatures[i]) * tf.cast(noise, images.dtype)
        images = images + 0.5 * step_size**2 * score + noise
        return i + 1, images, energies.write(i, energy)

    energies = tf.TensorArray(tf.float32, steps)
    _, images, energies = tf.while_loop(
        lambda i, *_: i < steps, step, (tf.constant(0), images, energies)
    )
    return images, energies.stack()
