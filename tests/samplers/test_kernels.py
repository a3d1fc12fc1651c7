"""Moves of each image by a kernel of its own, and energies with a given gradient."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.samplers.kernels import differentiable_energy, move_each

SHAPE = (2, 2, 1)
STREAM = "metropolis"

# As much of the results of TensorFlow Probability's kernels as is used.
Results = collections.namedtuple("Results", "accepted_results is_accepted")
Accepted = collections.namedtuple("Accepted", "target_log_prob")


class Kernel:
    """A move of one image: `propose(image, seed)`, accepted while the image's mean is below 2.5.

    The logarithm of the density is the sum of the image's pixels.
    """

    def __init__(self, propose):
        self._propose = propose

    def bootstrap_results(self, image):
        return self._results(image, tf.constant(False))

    def one_step(self, image, results, seed):
        is_accepted = tf.reduce_mean(image) < 2.5
        image = tf.where(is_accepted, self._propose(image, seed), image)
        return image, self._results(image, is_accepted)

    def _results(self, image, is_accepted):
        return Results(Accepted(tf.reduce_sum(image)), is_accepted)


def add_noise(index):
    """Adds N(0, I): a random walk that is far from the limit of acceptance if it starts at -1e3."""
    del index
    return Kernel(lambda image, seed: image + tf.random.stateless_normal(SHAPE, seed))


def add_index(index):
    """Adds 1 to the first image of a batch, 2 to the second one, and so on."""
    return Kernel(lambda image, seed: image + tf.cast(index + 1, tf.float32))


def move(kernel_fn, images, seeds, step=0, moves=1):
    compiled = tf.function(
        lambda images, seeds, step: move_each(
            kernel_fn, images, seeds, step, stream=STREAM, moves=moves
        ),
        autograph=False,
    )
    seeds = tf.constant(seeds, tf.int64)
    return [result.numpy() for result in compiled(images, seeds, tf.constant(step))]


def test_each_image_is_moved_by_its_own_kernel():
    """Moves are counted until the first one that is refused; the density is that before them."""
    images, log_prob, accepted = move(add_index, tf.zeros((3, *SHAPE)), [4, 5, 6], moves=4)
    # The means go 0, 1, 2, 3 in the first image; 0, 2, 4 in the second; and 0, 3 in the third.
    np.testing.assert_array_equal(images[:, 0, 0, 0], [3, 4, 3])
    np.testing.assert_array_equal(accepted, [3 / 4, 2 / 4, 1 / 4])
    np.testing.assert_array_equal(log_prob, [0, 0, 0])
    _, log_prob, _ = move(add_index, tf.fill((2, *SHAPE), 0.5), [4, 5])
    np.testing.assert_array_equal(log_prob, [2, 2])


def test_a_single_image_is_moved_once():
    images, log_prob, accepted = move(add_index, tf.zeros((1, *SHAPE)), [4])
    np.testing.assert_array_equal(images, np.ones((1, *SHAPE)))
    assert log_prob.shape == accepted.shape == (1,)


def test_noise_is_independent_between_steps_and_moves():
    """The variances of all moves add up; the noise of a seed does not depend on the batch."""
    count, steps, moves = 1_000, 2, 3
    far = tf.fill((count, *SHAPE), -1e3)
    walks = [move(add_noise, far, range(count), step, moves)[0] - far for step in range(steps)]
    error = 5 / np.sqrt(2 * count * 4)
    for walk in walks:
        assert np.std(walk) == pytest.approx(np.sqrt(moves), rel=error)
    assert np.std(sum(walks)) == pytest.approx(np.sqrt(steps * moves), rel=error)
    alone = move(add_noise, far[:1], [7], 1, moves)[0] - far[:1]
    np.testing.assert_allclose(alone[0], walks[1][7], atol=1e-3)


def test_large_seeds_have_different_noise():
    """Seeds with the same lower 32 bits give different images."""
    images, *_ = move(add_noise, tf.zeros((3, *SHAPE)), [7, 7 + 2**32, 7 + 2**60])
    assert len(np.unique(images[:, 0, 0, 0])) == 3


def test_the_gradient_of_an_energy_is_minus_the_given_score():
    """Whatever the score is: the energy itself is not differentiated."""
    images = tf.random.stateless_normal((3, *SHAPE), [1, 2])

    def energy_and_score(x):
        return tf.reduce_sum(x**2, (1, 2, 3)), tf.sin(x)

    with tf.GradientTape() as tape:
        tape.watch(images)
        energy = differentiable_energy(energy_and_score, images)
    np.testing.assert_allclose(energy, tf.reduce_sum(images**2, (1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(energy, images), -tf.sin(images), rtol=1e-6)
