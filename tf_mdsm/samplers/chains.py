"""A whole chain from seeds to images, with a look at it on the way."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.langevin import EnergyAndScoreFn, annealed_langevin
from tf_mdsm.samplers.starts import isotropic_start

__all__ = ["Chain", "compile_annealed_langevin"]


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


def compile_annealed_langevin(
    energy_and_score_fn: EnergyAndScoreFn,
    denoise_fn: Callable[[tf.Tensor], tf.Tensor] | None,
    image_shape: tuple[int, int, int],
    temperatures: np.ndarray,
    step_size: float,
    show_every: int = 100,
) -> Callable[[Sequence[int], Callable[[int], None]], Chain]:
    """The paper's sampler: start at 0.5 + N(0, I), anneal, denoise once at the end.

    The chain is compiled once, as one loop, and run in stretches of `show_every` steps; where
    it is cut does not change it.

    Args:
        energy_and_score_fn: images to energies [B] and scores [B, H, W, C].
        denoise_fn: images to denoised images, the last step; None: leave the step out.
        image_shape: height, width, channels.
        temperatures: T of each step, float32 [steps].
        step_size: epsilon, in pixel units.
        show_every: steps between the states that are kept.

    Returns:
        a function of seeds, [B], each >= 0, and of a callback that is told how many steps have
        just been done; it returns a `Chain`.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def advance(images, seeds, stretch, first_step):
        return annealed_langevin(energy_and_score_fn, images, seeds, stretch, step_size, first_step)

    @tf.function(reduce_retracing=True, autograph=False)
    def finish(images):
        if denoise_fn is not None:
            images = denoise_fn(images)
        return images, energy_and_score_fn(images)[0]

    def sample(seeds: Sequence[int], on_steps: Callable[[int], None] = lambda _: None) -> Chain:
        seeds = tf.constant(np.asarray(seeds, np.int64))
        images = isotropic_start(seeds, image_shape)
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

    return sample
