"""Moves of TensorFlow Probability's kernels, with a kernel and a seed for each image."""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from tf_mdsm import randomness

__all__ = ["differentiable_energy", "move_each"]


def differentiable_energy(
    energy_and_score_fn: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], images: tf.Tensor
) -> tf.Tensor:
    """Energies [B] whose gradient is the score that came with them; no second pass is made.

    Args:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        images: [B, H, W, C].
    """
    held = tf.stop_gradient(images)
    energy, score = energy_and_score_fn(held)
    slope = tf.reduce_sum(tf.stop_gradient(score) * (images - held), axis=(1, 2, 3))
    return tf.stop_gradient(energy) - slope


def move_each(
    kernel_fn: Callable[[tf.Tensor], tfp.mcmc.TransitionKernel],
    images: tf.Tensor,
    seeds: tf.Tensor,
    number: tf.Tensor,
    stream: str,
    moves: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Moves every image by a kernel of its own.

    TensorFlow Probability's kernels draw one noise for a whole batch; by `tf.vectorized_map`
    each image has a kernel and a seed of its own, and does not depend on those beside it.

    Args:
        kernel_fn: an image's place in the batch to its kernel, whose state is [H, W, C].
        images: float32 [B, H, W, C].
        seeds: int64 [B], each >= 0.
        number: of this step of the chain; noise follows from (seed, number, move, stream).
        stream: of `randomness`.
        moves: at least 1.

    Returns:
        the images after the moves; their log-density before, [B]; the share of accepted
        moves, [B].
    """
    # `vectorized_map` takes a batch of one in another way, which networks do not survive.
    count = tf.shape(images)[0]
    size = tf.maximum(count, 2)
    images, seeds = (tf.concat([part, part[:1]], 0)[:size] for part in (images, seeds))
    places = tf.minimum(tf.range(size), count - 1)

    def first(arguments):
        place, image = arguments
        return kernel_fn(place).bootstrap_results(image)

    def move(arguments):
        place, image, results, seed = arguments
        image, results = kernel_fn(place).one_step(image, results, seed)
        return image, results, tf.cast(results.is_accepted, tf.float32)

    def body(i, images, results, accepted):
        numbers = randomness.integers(seeds, (number, i), stream, 2)
        arguments = (places, images, results, tf.cast(numbers - 2**31, tf.int32))
        after = tf.vectorized_map(move, arguments)
        # `vectorized_map` forgets the shapes, which a loop must keep.
        images, results, is_accepted = tf.nest.map_structure(
            lambda new, old: tf.ensure_shape(new, old.shape), after, (images, results, none)
        )
        return i + 1, images, results, accepted + is_accepted / moves

    results = tf.vectorized_map(first, (places, images))
    log_density = results.accepted_results.target_log_prob
    none = tf.zeros_like(log_density)
    state = (tf.constant(0), images, results, none)
    _, images, _, accepted = tf.while_loop(lambda i, *_: i < moves, body, state)
    return images[:count], log_density[:count], accepted[:count]
