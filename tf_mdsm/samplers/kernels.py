"""Markov kernels of TensorFlow Probability, applied with a kernel and a seed for each image."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_mdsm import randomness

__all__ = ["TransitionKernel", "differentiable_energy", "move_each"]

# `tfp.mcmc.TransitionKernel`. The package loads its modules lazily, so checkers see no class.
TransitionKernel = Any


def differentiable_energy(
    energy_and_score_fn: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], images: tf.Tensor
) -> tf.Tensor:
    """Energies [B] whose gradient is minus the given score, without a second backward pass.

    Args:
        energy_and_score_fn: from images to energies [B] and scores -dE/dx [B, H, W, C].
        images: [B, H, W, C].
    """
    constant_images = tf.stop_gradient(images)
    energy, score = energy_and_score_fn(constant_images)
    # This sum is zero, and its gradient is the score.
    zero = tf.reduce_sum(tf.stop_gradient(score) * (images - constant_images), axis=(1, 2, 3))
    return tf.stop_gradient(energy) - zero


def move_each(
    kernel_fn: Callable[[tf.Tensor], TransitionKernel],
    images: tf.Tensor,
    seeds: tf.Tensor,
    step: tf.Tensor,
    *,
    stream: str,
    moves: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Moves each image by a Markov kernel of its own.

    TensorFlow Probability's kernels use one random number generator for a whole batch. With
    `tf.vectorized_map` each image has a kernel and a seed of its own, so that it does not depend
    on the other images of the batch.

    Args:
        kernel_fn: from the index of an image in the batch to the kernel of this image, whose state
            is [H, W, C].
        images: float32 [B, H, W, C].
        seeds: int64 [B], each >= 0.
        step: index of the step. The noise is a function of (seed, step, move, stream).
        stream: name of the stream of random numbers, see `randomness`.
        moves: number of moves, at least 1.

    Returns:
        the images after the moves; the logarithm of their density before the moves, [B]; the
        fraction of accepted moves, [B].
    """
    # For a batch of one, `vectorized_map` runs other code, in which networks fail. So a single
    # image is moved twice.
    count = tf.shape(images)[0]
    size = tf.maximum(count, 2)
    images, seeds = (tf.concat([tensor, tensor[:1]], 0)[:size] for tensor in (images, seeds))
    indices = tf.minimum(tf.range(size), count - 1)

    def first_results(arguments):
        index, image = arguments
        return kernel_fn(index).bootstrap_results(image)

    def move_one(arguments):
        index, image, results, seed = arguments
        image, results = kernel_fn(index).one_step(image, results, seed)
        return image, results, tf.cast(results.is_accepted, tf.float32)

    def move_all(i, images, results, accepted):
        # TensorFlow Probability's seeds are pairs of int32.
        numbers = randomness.integers(seeds, (step, i), stream, 2)
        arguments = (indices, images, results, tf.cast(numbers - 2**31, tf.int32))
        moved = tf.vectorized_map(move_one, arguments)
        # `vectorized_map` loses the static shapes, which the loop requires.
        images, results, is_accepted = tf.nest.map_structure(
            lambda new, old: tf.ensure_shape(new, old.shape),
            moved,
            (images, results, zero_acceptance),
        )
        return i + 1, images, results, accepted + is_accepted / moves

    results = tf.vectorized_map(first_results, (indices, images))
    log_prob = results.accepted_results.target_log_prob
    zero_acceptance = tf.zeros_like(log_prob)
    state = (tf.constant(0), images, results, zero_acceptance)
    _, images, _, accepted = tf.while_loop(lambda i, *_: i < moves, move_all, state)
    return images[:count], log_prob[:count], accepted[:count]
