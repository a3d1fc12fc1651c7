"""Moves of MALA and HMC: noise of each move, rejected moves."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.metropolis_targets import (
    KINDS,
    SHAPE,
    accepted_fractions,
    advance,
    int_seeds,
    sampler,
)
from tf_mdsm.samplers.starts import isotropic_start


@pytest.mark.parametrize("kind", KINDS)
def test_a_rejected_move_does_not_change_the_image(kind):
    built = sampler(kind, step_size=50.0, steps=3)
    images = isotropic_start(SHAPE)(int_seeds(20))
    np.testing.assert_array_equal(advance(built, images, int_seeds(20)), images)
    assert accepted_fractions(built, images, int_seeds(20)).max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_independent_between_steps_and_moves(kind):
    """At constant energy all moves are accepted, and their variances add up."""
    count, steps, moves, step_size = 600, 3, 2, 0.5

    def flat(x):
        return tf.reduce_sum(0 * x, (1, 2, 3)), 0 * x

    built = sampler(kind, flat, steps=steps, moves=moves, step_size=step_size)
    sampled = advance(built, tf.zeros((count, *SHAPE)), int_seeds(count))
    length = step_size * (2 if kind == "hmc" else 1)
    expected = length * np.sqrt(steps * moves)
    assert sampled.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * count * 4))


def test_large_seeds_have_different_noise():
    """Seeds with the same lower 32 bits give different images."""
    built = sampler("mala", steps=2)
    start = tf.zeros((3, *SHAPE))
    sampled = advance(built, start, tf.constant([7, 7 + 2**32, 7 + 2**60], tf.int64))
    assert len(np.unique(sampled[:, 0, 0, 0])) == 3
