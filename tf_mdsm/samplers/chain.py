"""Compiled sampling runs from seeds to images, which record intermediate states and energies."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.base import Sampler

__all__ = ["Chain", "compile_chain"]


@dataclasses.dataclass(frozen=True)
class Chain:
    """Result of a sampling run: final images and energies, intermediate states and energies.

    Attributes:
        images: the final images, not clipped, float32 [B, H, W, C].
        energy: energies of the final images, float32 [B].
        states: the starting images, the images after every `show_every` steps and after the last
            step, and the final images, float32 [n, B, H, W, C].
        energies: energies before each step, float32 [steps, B].
    """

    images: np.ndarray
    energy: np.ndarray
    states: np.ndarray
    energies: np.ndarray


def compile_chain(sampler: Sampler, show_every: int = 0) -> Callable[..., Chain]:
    """Compiles a sampler into a function from seeds to images and intermediate states.

    The run is compiled once and executed in parts of `show_every` steps. The length of the parts
    does not change the images.

    Args:
        sampler: the sampler to run.
        show_every: steps between the recorded states; 0: a 27th of all steps.

    Returns:
        a function of a sequence of seeds, [B], and optionally of a callback. The callback gets the
        number of steps that have just been done, after each part of the run. The function returns
        a `Chain`. It raises InvalidArgument unless the seeds are integers in [0, 2^63), at least
        one, all different.
    """
    show_every = show_every or max(1, sampler.num_steps // 27)
    # The batch size is left open, as in an exported model. If it were fixed, TensorFlow would fuse
    # operations in another way, and the last bits of an image would depend on the batch size.
    seeds_spec = tf.TensorSpec([None], tf.int64)
    start: Any = tf.function(sampler.start, input_signature=[seeds_spec], autograph=False)
    images_spec = tf.TensorSpec(start.get_concrete_function().output_shapes, tf.float32)
    advance: Any = tf.function(
        sampler.advance,
        input_signature=[images_spec, seeds_spec, *[tf.TensorSpec([], tf.int32)] * 2],
        autograph=False,
    )

    @tf.function(input_signature=[images_spec], autograph=False)
    def finish(images):
        images = sampler.finish(images)
        return images, sampler.energy_and_score_fn(images)[0]

    def run(seeds: Sequence[int], on_steps: Callable[[int], None] = lambda _: None) -> Chain:
        seed_tensor = tf.constant(_checked_seeds(seeds))
        images = start(seed_tensor)
        states, energies = [images.numpy()], []
        for first in range(0, sampler.num_steps, show_every):
            steps = min(show_every, sampler.num_steps - first)
            images, energy = advance(images, seed_tensor, tf.constant(first), tf.constant(steps))
            states.append(images.numpy())
            energies.append(energy.numpy())
            on_steps(steps)
        images, energy = finish(images)
        states.append(images.numpy())
        return Chain(images.numpy(), energy.numpy(), np.stack(states), np.concatenate(energies))

    return run


def _checked_seeds(seeds: Sequence[int]) -> np.ndarray:
    """Seeds as an array int64 [B], if they are valid and all different.

    Raises:
        InvalidArgument: if there is no seed, or a seed is not valid or occurs twice.
    """
    if not len(seeds):
        raise InvalidArgument("seeds", "contain at least one seed", "no seed")
    for seed in seeds:
        if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
            raise InvalidArgument("seeds", "be integers in [0, 2^63)", seed)
    values, counts = np.unique(seeds, return_counts=True)
    if counts.max() > 1:
        raise InvalidArgument("seeds", "differ from each other", f"{values[counts.argmax()]} twice")
    return np.asarray(seeds, np.int64)
