"""Random numbers: known answers, distributions, and what a number may depend on."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.gpus import missing_on_gpus
from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument

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


def test_distribution_of_normal_numbers():
    numbers = randomness.normal(tf.range(200, dtype=tf.int64), (3, 0), "start", (50, 10)).numpy()
    assert numbers.shape == (200, 50, 10)
    assert scipy.stats.kstest(numbers.ravel(), "norm").pvalue > 1e-4
    # Correlation between the 100,000 numbers and themselves, shifted: standard error 1/sqrt(n).
    flat = numbers.ravel()
    for shift in (1, 2, 4, 500):
        correlation = np.mean(flat[:-shift] * flat[shift:])
        assert abs(correlation) < 4.5 / np.sqrt(len(flat)), shift


def test_distribution_of_uniform_numbers():
    numbers = randomness.uniform(tf.range(500, dtype=tf.int64), (0, 7), "flip", (100,)).numpy()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert scipy.stats.kstest(numbers.ravel(), "uniform").pvalue > 1e-4


def test_a_number_depends_on_its_own_seed_only():
    seeds = tf.constant([5, 2**40 + 5, 7, 2**62], tf.int64)
    together = randomness.normal(seeds, (9, 0), "langevin", (3, 3, 2)).numpy()
    for row, seed in enumerate(seeds):
        single = randomness.normal(seed[None], (9, 0), "langevin", (3, 3, 2)).numpy()[0]
        np.testing.assert_array_equal(together[row], single)
    assert len(np.unique(together)) == together.size


def test_other_streams_counters_and_seeds_give_other_numbers():
    def sample(seed=1, counter=(2, 3), stream="start"):
        return randomness.integers(tf.constant([seed], tf.int64), counter, stream, 8).numpy()

    variants = [sample(), sample(seed=2), sample(counter=(3, 3)), sample(counter=(2, 4))]
    variants.append(sample(stream="langevin"))
    assert len(np.unique(np.stack(variants))) == 5 * 8


def test_integers_of_each_stream_do_not_change():
    """All runs' numbers follow from the streams' numbers, and so do these known integers."""
    expected = {
        "order": 2361869905,
        "levels": 2955926484,
        "training_noise": 4277773016,
        "flip": 85836580,
        "validation_noise": 328673554,
        "start": 3508037145,
        "langevin": 1033398560,
        "start_components": 4082428638,
        "known_pixels": 3540030043,
        "churn": 2045159850,
        "ancestral": 1853239188,
        "coarse_to_fine": 907246986,
        "metropolis": 3847261030,
        "annealing": 3463592156,
        "start_mixture": 4028558634,
        "likelihood": 2897195086,
        "probes": 2217399896,
        "patch": 169638743,
        "turn": 3133513611,
    }
    assert tuple(expected) == randomness._STREAMS
    seeds = tf.constant([1], tf.int64)
    for stream, number in expected.items():
        assert int(randomness.integers(seeds, (2, 3), stream, 1)[0, 0]) == number, stream


def test_a_shape_that_is_not_static_is_refused():
    seeds = tf.constant([1], tf.int64)
    for function in (randomness.normal, randomness.uniform):
        with pytest.raises(InvalidArgument, match="`shape` must be statically known"):
            function(seeds, (0, 0), "start", (None, 2))


def test_gpus_have_every_operation():
    """What they lack would be computed on the host and copied, in each step of training."""

    def sample(seeds):
        return randomness.normal(seeds, (1, tf.range(128)), "start", (64,))

    # As many seeds as make arrays of random words too large to be constants of the graph.
    assert missing_on_gpus(sample, tf.TensorSpec([128], tf.int64)) == set()
    assert missing_on_gpus(sample, tf.TensorSpec([None], tf.int64)) == set()


def test_xla_gives_the_same_integers():
    def sample(seeds):
        return randomness.integers(seeds, (1, 2), "start", 50)

    seeds = tf.range(20, dtype=tf.int64)
    compiled = tf.function(sample, jit_compile=True)(seeds)
    np.testing.assert_array_equal(sample(seeds), compiled)


@settings(max_examples=20, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 2**62), min_size=1, max_size=5, unique=True),
    step=st.integers(0, 2**32 - 1),
    place=st.integers(0, 2**32 - 1),
    count=st.integers(1, 70),
)
def test_a_seeds_numbers_do_not_depend_on_the_batch(seeds, step, place, count):
    counter = (tf.constant(step, tf.int64), tf.constant(place, tf.int64))

    def sample(seeds):
        return randomness.normal(tf.constant(seeds, tf.int64), counter, "start", (count,)).numpy()

    together = sample(seeds)
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together[0], sample(seeds[:1])[0])
    np.testing.assert_array_equal(together[::-1], sample(seeds[::-1]))
    if count > 2:
        assert len({row.tobytes() for row in together}) == len(seeds)
