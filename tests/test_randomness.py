"""Random numbers: known answers, laws, and independence of everything but seed and counter."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tf_mdsm import randomness

ALL_ONES = 0xFFFFFFFF


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        (0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (ALL_ONES, ALL_ONES, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ],
)
def test_philox_known_answers(counter, key, expected):
    """Source: the known-answer file of Random123."""
    word = tf.constant(counter, tf.uint64)
    key_word = tf.constant(key, tf.uint64)
    output = randomness.philox([word] * 4, [key_word] * 2)
    assert " ".join(f"{int(w):08x}" for w in output) == expected


def test_normal_numbers_have_the_normal_law():
    numbers = randomness.normal(tf.range(200, dtype=tf.int64), (3, 0), "start", (50, 10)).numpy()
    assert numbers.shape == (200, 50, 10)
    assert scipy.stats.kstest(numbers.ravel(), "norm").pvalue > 1e-4
    # Correlation of any two of 100,000 numbers a shift apart: standard error 1/sqrt(n).
    flat = numbers.ravel()
    for shift in (1, 2, 4, 500):
        correlation = np.mean(flat[:-shift] * flat[shift:])
        assert abs(correlation) < 4.5 / np.sqrt(len(flat)), shift


def test_uniform_numbers_have_the_uniform_law():
    numbers = randomness.uniform(tf.range(500, dtype=tf.int64), (0, 7), "flip", (100,)).numpy()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert scipy.stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-4


def test_a_number_depends_on_its_own_seed_only():
    seeds = tf.constant([5, 2**40 + 5, 7, 2**62], tf.int64)
    together = randomness.normal(seeds, (9, 0), "langevin", (3, 3, 2)).numpy()
    for row, seed in enumerate(seeds):
        alone = randomness.normal(seed[None], (9, 0), "langevin", (3, 3, 2)).numpy()[0]
        np.testing.assert_array_equal(together[row], alone)
    assert len(np.unique(together)) == together.size


def test_streams_counters_and_seeds_differ():
    def draw(seed=1, counter=(2, 3), stream="start"):
        return randomness.integers(tf.constant([seed], tf.int64), counter, stream, 8).numpy()

    variants = [draw(), draw(seed=2), draw(counter=(3, 3)), draw(counter=(2, 4))]
    variants.append(draw(stream="langevin"))
    assert len(np.unique(np.stack(variants))) == 5 * 8


def test_xla_draws_the_same_integers():
    def draw(seeds):
        return randomness.integers(seeds, (1, 2), "start", 50)

    seeds = tf.range(20, dtype=tf.int64)
    compiled = tf.function(draw, jit_compile=True)(seeds)
    np.testing.assert_array_equal(draw(seeds), compiled)


@settings(max_examples=60, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 2**62), min_size=1, max_size=5, unique=True),
    step=st.integers(0, 2**32 - 1),
    place=st.integers(0, 2**32 - 1),
    count=st.integers(1, 70),
)
def test_any_seed_at_any_place_draws_the_same_alone_and_among_others(seeds, step, place, count):
    counter = (tf.constant(step, tf.int64), tf.constant(place, tf.int64))

    def draw(seeds):
        return randomness.normal(tf.constant(seeds, tf.int64), counter, "start", (count,)).numpy()

    together = draw(seeds)
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together[0], draw(seeds[:1])[0])
    np.testing.assert_array_equal(together[::-1], draw(seeds[::-1]))
    if count > 2:
        assert len({row.tobytes() for row in together}) == len(seeds)
