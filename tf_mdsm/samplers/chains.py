"""Whole chains, from seeds to images."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.inpainting import with_known_pixels
from tf_mdsm.samplers.langevin import ConditionFn, EnergyAndScoreFn, annealed_langevin
from tf_mdsm.samplers.starts import StartFn

__all__ = ["AnnealedLangevin", "Chain", "compile_chain"]


@dataclasses.dataclass(frozen=True)
class AnnealedLangevin:
    """The paper's sampler: start, anneal, denoise once at the end (MDSM, section 4).

    Its methods make graphs, one loop each: call them from a `tf.function`.

    Attributes:
        energy_and_score_fn: images to energies [B] and scores [B, H, W, C].
        denoise_fn: images to denoised images, the last step; None: leave the step out.
        start_fn: seeds to the images where the chains begin.
        temperatures: T of each step, float32 [steps].
        step_size: epsilon, in pixel units.
    """

    energy_and_score_fn: EnergyAndScoreFn
    denoise_fn: Callable[[tf.Tensor], tf.Tensor] | None
    start_fn: StartFn
    temperatures: np.ndarray
    step_size: float

    def draw(self, seeds: tf.Tensor) -> tf.Tensor:
        """One image for each seed.

        Args:
            seeds: int64 [B], each >= 0.

        Returns:
            images, not clipped, float32 [B, H, W, C].
        """
        images, _ = self.advance(self.start_fn(seeds), seeds, self.temperatures)
        return self.finish(images)

    def inpaint(
        self, images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor, sigma0: float
    ) -> tf.Tensor:
        """The same chain on the unknown pixels only.

        Args:
            images: float32 [B, H, W, C].
            mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
            seeds: int64 [B], each >= 0.
            sigma0: the loss' fixed kernel width.

        Returns:
            images whose known pixels are those of `images`, bit for bit, [B, H, W, C].
        """
        hold = with_known_pixels(images, mask, seeds, sigma0)
        drawn, _ = self.advance(self.start_fn(seeds), seeds, self.temperatures, condition_fn=hold)
        drawn = self.finish(tf.where(mask > 0.5, images, drawn))
        return tf.where(mask > 0.5, images, drawn)

    def advance(
        self,
        images: tf.Tensor,
        seeds: tf.Tensor,
        temperatures: tf.Tensor,
        first_step: tf.Tensor | int = 0,
        condition_fn: ConditionFn | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A stretch of the chain; arguments and result as of `annealed_langevin`."""
        return annealed_langevin(
            self.energy_and_score_fn,
            images,
            seeds,
            temperatures,
            self.step_size,
            first_step,
            condition_fn,
        )

    def finish(self, images: tf.Tensor) -> tf.Tensor:
        """The last step."""
        return images if self.denoise_fn is None else self.denoise_fn(images)


@dataclasses.dataclass(frozen=True)
class Chain:
    """What came of some seeds.

    Attributes:
        images: the final images, not clipped, [B, H, W, C].
        energy: their energy, [B].
        states: the state every `show_every` steps and the final images, [n, B, H, W, C].
        energies: the energy before each step, [steps, B].
    """

    images: np.ndarray
    energy: np.ndarray
    states: np.ndarray
    energies: np.ndarray


def compile_chain(
    sampler: AnnealedLangevin, show_every: int = 100
) -> Callable[[Sequence[int], Callable[[int], None]], Chain]:
    """The sampler with a look at it on the way.

    The chain is compiled once and run in stretches of `show_every` steps; where it is cut does
    not change it.

    Args:
        sampler: what to run.
        show_every: steps between the states that are kept.

    Returns:
        a function of seeds, [B], each >= 0, and of a callback that is told how many steps have
        just been done; it returns a `Chain`.
    """
    temperatures = sampler.temperatures
    # The batch is free, as in an exported model: TensorFlow fuses operations in another way
    # where it knows the batch, and the last bits of an image would tell.
    seeds_spec = tf.TensorSpec([None], tf.int64)
    start = tf.function(sampler.start_fn, input_signature=[seeds_spec], autograph=False)
    images_spec = tf.TensorSpec(start.get_concrete_function().output_shapes, tf.float32)
    advance = tf.function(
        sampler.advance,
        input_signature=[
            *(images_spec, seeds_spec, tf.TensorSpec([None], tf.float32)),
            tf.TensorSpec([], tf.int32),
        ],
        autograph=False,
    )

    @tf.function(input_signature=[images_spec], autograph=False)
    def finish(images):
        images = sampler.finish(images)
        return images, sampler.energy_and_score_fn(images)[0]

    def run(seeds: Sequence[int], on_steps: Callable[[int], None] = lambda _: None) -> Chain:
        seeds = tf.constant(np.asarray(seeds, np.int64))
        images = start(seeds)
        states, energies = [images.numpy()], []
        for first in range(0, len(temperatures), show_every):
            stretch = tf.constant(temperatures[first : first + show_every])
            images, energy = advance(images, seeds, stretch, tf.constant(first))
            states.append(images.numpy())
            energies.append(energy.numpy())
            on_steps(len(stretch))
        images, energy = finish(images)
        states.append(images.numpy())
        return Chain(images.numpy(), energy.numpy(), np.stack(states), np.concatenate(energies))

    return run
