"""Whole chains, from seeds to images, and a look at them on the way."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.base import Sampler

__all__ = ["Chain", "compile_chain"]


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
    sampler: Sampler, show_every: int = 0
) -> Callable[[Sequence[int], Callable[[int], None]], Chain]:
    """The sampler with a look at it on the way.

    The chain is compiled once and run in stretches of `show_every` steps; where it is cut does
    not change it.

    Args:
        sampler: what to run.
        show_every: steps between the states that are kept; 0: a 27th of the chain.

    Returns:
        a function of seeds, [B], and of a callback that is told how many steps have just been
        done; it returns a `Chain`. It raises InvalidArgument unless the seeds are integers in
        [0, 2^63), at least one, all different.
    """
    show_every = show_every or max(1, sampler.num_steps // 27)
    # The batch is free, as in an exported model: TensorFlow fuses operations in another way
    # where it knows the batch, and the last bits of an image would tell.
    seeds_spec = tf.TensorSpec([None], tf.int64)
    start = tf.function(sampler.start, input_signature=[seeds_spec], autograph=False)
    images_spec = tf.TensorSpec(start.get_concrete_function().output_shapes, tf.float32)
    advance = tf.function(
        sampler.advance,
        input_signature=[images_spec, seeds_spec, *[tf.TensorSpec([], tf.int32)] * 2],
        autograph=False,
    )

    @tf.function(input_signature=[images_spec], autograph=False)
    def finish(images):
        images = sampler.finish(images)
        return images, sampler.energy_and_score_fn(images)[0]

    def run(seeds: Sequence[int], on_steps: Callable[[int], None] = lambda _: None) -> Chain:
        seeds = tf.constant(_checked(seeds))
        images = start(seeds)
        states, energies = [images.numpy()], []
        for first in range(0, sampler.num_steps, show_every):
            steps = min(show_every, sampler.num_steps - first)
            images, energy = advance(images, seeds, tf.constant(first), tf.constant(steps))
            states.append(images.numpy())
            energies.append(energy.numpy())
            on_steps(steps)
        images, energy = finish(images)
        states.append(images.numpy())
        return Chain(images.numpy(), energy.numpy(), np.stack(states), np.concatenate(energies))

    return run


def _checked(seeds: Sequence[int]) -> np.ndarray:
    """As int64 [B]."""
    if not len(seeds):
        raise InvalidArgument("seeds", "hold at least one", "none")
    for seed in seeds:
        if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
            raise InvalidArgument("seeds", "be integers in [0, 2^63)", seed)
    values, counts = np.unique(seeds, return_counts=True)
    if counts.max() > 1:
        raise InvalidArgument("seeds", "differ from each other", f"{values[counts.argmax()]} twice")
    return np.asarray(seeds, np.int64)
