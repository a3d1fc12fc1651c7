"""Hamiltonian moves with a Metropolis test, of a whole batch at a time."""

from collections.abc import Callable

import tensorflow as tf

from tf_mdsm import randomness

__all__ = ["EnergyAndScore", "hamiltonian_moves"]

# From images [B, H, W, C] to energies [B] and scores -dE/dx [B, H, W, C].
EnergyAndScore = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def hamiltonian_moves(
    energy_and_score_fn: EnergyAndScore,
    images: tf.Tensor,
    seeds: tf.Tensor,
    counter: tf.Tensor,
    *,
    stream: str,
    step_sizes: tf.Tensor,
    leapfrog_steps: int,
    moves: int = 1,
    is_allowed: Callable[[tf.Tensor], tf.Tensor] | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Moves images by Hamiltonian Monte Carlo; each move leaves the density exp(-E) invariant.

    A move makes leapfrog steps from a random momentum N(0, I), and the Metropolis test accepts or
    rejects the last image. With one leapfrog step this is MALA. The graph has one loop over the
    moves and one over the leapfrog steps, whatever the number and the size of the images.

    The moves of an image depend neither on the other images nor on their number.

    Source: Neal, "MCMC using Hamiltonian dynamics" (2011), figure 2.

    Args:
        energy_and_score_fn: from images to energies E and scores -dE/dx.
        images: float32 [B, H, W, C].
        seeds: int64 [B], each >= 0.
        counter: number of these moves, in [0, 2^32). The noise is a function of (seed, counter,
            move, stream).
        stream: name of the stream of random numbers, see `randomness`.
        step_sizes: epsilon of each image, in pixel units, [B].
        leapfrog_steps: leapfrog steps of a move, at least 1.
        moves: number of moves, at least 1, at most 2^30.
        is_allowed: from images to whether they lie in the domain of the density, bool [B]; moves
            that end outside are rejected. None: all images do.

    Returns:
        the images after the moves; their energies before the moves, [B]; the fraction of accepted
        moves, [B].
    """
    step_sizes = tf.ensure_shape(step_sizes, images.shape[:1])[:, None, None, None]

    # A loop requires the shapes of its state, which a function may have lost.
    def evaluate(images):
        energy, score = energy_and_score_fn(images)
        return tf.ensure_shape(energy, images.shape[:1]), tf.ensure_shape(score, images.shape)

    def leapfrog(images, score, momentum):
        """The images, energies, scores and momenta after the leapfrog steps."""

        def body(i, images, _, score, momentum):
            momentum += step_sizes / 2 * score
            images += step_sizes * momentum
            energy, score = evaluate(images)
            return i + 1, images, energy, score, momentum + step_sizes / 2 * score

        state = (tf.constant(0), images, tf.zeros_like(images[:, 0, 0, 0]), score, momentum)
        return tf.while_loop(lambda i, *_: i < leapfrog_steps, body, state)[1:]

    def move(i, images, energy, score, accepted):
        momentum = randomness.normal(seeds, (counter, 2 * i), stream, images.shape[1:])
        momentum = tf.ensure_shape(momentum, images.shape)
        uniform = randomness.uniform(seeds, (counter, 2 * i + 1), stream, ())
        moved = leapfrog(images, score, momentum)
        # A sum of differences: the difference of two large sums would have lost its digits.
        kinetic = tf.reduce_sum((moved[3] - momentum) * (moved[3] + momentum), (1, 2, 3)) / 2
        log_ratio = energy - moved[1] - kinetic
        # Energies that are not finite are never accepted.
        is_accepted = tf.math.is_finite(log_ratio) & (tf.math.log(uniform) < log_ratio)
        if is_allowed is not None:
            is_accepted &= is_allowed(moved[0])
        images, score = (
            tf.where(is_accepted[:, None, None, None], new, old)
            for new, old in ((moved[0], images), (moved[2], score))
        )
        energy = tf.where(is_accepted, moved[1], energy)
        return i + 1, images, energy, score, accepted + tf.cast(is_accepted, tf.float32) / moves

    energy, score = evaluate(images)
    state = (tf.constant(0), images, energy, score, tf.zeros_like(energy))
    _, images, _, _, accepted = tf.while_loop(lambda i, *_: i < moves, move, state)
    return images, energy, accepted
