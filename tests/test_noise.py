"""Noise levels: their spacing, their checks, and how each batch covers them evenly."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from tf_mdsm import losses
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels, assign_levels


def test_spacings():
    linear = NoiseLevels(0.05, 1.2, 128, "linear").sigmas
    np.testing.assert_allclose(np.diff(linear), 1.15 / 127, rtol=1e-4)
    geometric = NoiseLevels(0.1, 3.0, 128, "geometric").sigmas
    np.testing.assert_allclose(geometric[1:] / geometric[:-1], 30 ** (1 / 127), rtol=1e-5)
    log_normal = NoiseLevels(0.1, 3.0, 128, "log_normal", median=0.4, log_std=0.8).sigmas
    steps = np.diff(stats.lognorm(0.8, scale=0.4).cdf(log_normal))
    np.testing.assert_allclose(steps, steps.mean(), rtol=1e-3)
    all_sigmas = ((linear, (0.05, 1.2)), (geometric, (0.1, 3.0)), (log_normal, (0.1, 3.0)))
    for sigmas, ends in all_sigmas:
        np.testing.assert_allclose(sigmas[[0, -1]], ends, rtol=1e-6)
        assert sigmas.dtype == np.float32


@pytest.mark.parametrize("spacing", ["linear", "geometric", "log_normal"])
def test_one_and_two_levels(spacing):
    one = NoiseLevels(0.3, 0.3, 1, spacing, median=0.3)
    two = NoiseLevels(0.3, 0.5, 2, spacing, median=0.3)
    assert one.sigmas == pytest.approx([0.3])
    assert two.sigmas == pytest.approx([0.3, 0.5])


@pytest.mark.parametrize("median", [0.05, 0.06, 1.2])
@pytest.mark.parametrize("log_std", [1e-3, 1.0, 100.0])
def test_log_normal_levels_of_extreme_distributions(median, log_std):
    """All levels are finite, within the range and in ascending order."""
    sigmas = NoiseLevels(0.05, 1.2, 128, "log_normal", median=median, log_std=log_std).sigmas
    assert np.isfinite(sigmas).all()
    assert sigmas[[0, -1]] == pytest.approx([0.05, 1.2])
    assert (np.diff(sigmas) >= 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"spacing": "cubic"},
        {"weighting": "none"},
        {"sigma_min": 0.0},
        {"sigma_min": float("nan")},
        {"sigma_min": 2.0, "sigma_max": 1.0},
        {"sigma_max": float("inf")},
        {"sigma_max": "1.2"},
        {"sigma_max": [1.2]},
        {"num_levels": 0},
        {"num_levels": 64.0},
        {"num_levels": 1},
        {"sigma0": -1.0},
        {"spacing": "log_normal", "median": 2.0},
        {"log_std": float("nan")},
        {"sigma_data": 0.0},
    ],
)
def test_wrong_levels_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="must"):
        NoiseLevels(**wrong)


@pytest.mark.parametrize("kind", [np.float32, np.array, tf.constant])
def test_numbers_of_every_kind_become_plain_ones(kind):
    """A `.keras` file cannot hold a tensor; 0.25 and 3 are exact in every precision."""
    noise = NoiseLevels(kind(0.25), kind(3.0), np.int64(16))
    assert noise == NoiseLevels(0.25, 3.0, 16)
    assert {type(value) for value in noise.get_config().values()} == {float, int, str}


def levels_of_batch(batch_size, num_levels, step, seed=0):
    places = tf.range(batch_size)
    seed, step = tf.constant(seed, tf.int64), tf.constant(step, tf.int64)
    return assign_levels(places, batch_size, num_levels, seed=seed, step=step).numpy()


def test_a_batch_of_as_many_images_as_levels_has_each_level_once():
    for step in range(5):
        np.testing.assert_array_equal(levels_of_batch(128, 128, step), np.arange(128))


@settings(max_examples=30, deadline=None)
@given(
    batch_size=st.integers(1, 300),
    num_levels=st.integers(1, 300),
    step=st.integers(0, 2**31 - 1),
    seed=st.integers(0, 2**62),
)
def test_every_batch_covers_the_levels_evenly(batch_size, num_levels, step, seed):
    levels = levels_of_batch(batch_size, num_levels, step, seed)
    assert levels.min() >= 0
    assert levels.max() < num_levels
    counts = np.bincount(levels, minlength=num_levels)
    assert counts.max() - counts.min() <= 1
    # The first k levels have a share k / K of the batch, up to one image.
    cumulative = np.abs(np.cumsum(counts) / batch_size - np.arange(1, num_levels + 1) / num_levels)
    assert cumulative.max() <= 1 / batch_size + 1e-9


def test_every_level_is_used_equally_often():
    batch_size, num_levels, steps = 12, 64, 500
    places, seed = tf.range(batch_size), tf.constant(0, tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([], tf.int64)], autograph=False)
    def levels(step):
        return assign_levels(places, batch_size, num_levels, seed=seed, step=step)

    sampled = np.concatenate([levels(tf.constant(step, tf.int64)) for step in range(steps)])
    counts = np.bincount(sampled, minlength=num_levels)
    # In each step a level is used once with probability 12/64, else never: a binomial count.
    probability = batch_size / num_levels
    standard_deviation = np.sqrt(steps * probability * (1 - probability))
    assert np.abs(counts - steps * probability).max() < 4.5 * standard_deviation


levels = st.floats(1e-4, 1e3, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(
    ends=st.tuples(levels, levels),
    num_levels=st.integers(2, 400),
    spacing=st.sampled_from(["linear", "geometric", "log_normal"]),
    position=st.floats(0, 1),
    log_std=st.floats(1e-3, 100),
    weighting=st.sampled_from(["inverse_square", "constant", "edm", "score"]),
)
def test_training_noise_levels_are_finite_and_in_range(
    ends, num_levels, spacing, position, log_std, weighting
):
    low, high = sorted(ends)
    assume(high > 1.001 * low)
    median = low ** (1 - position) * high**position
    noise = NoiseLevels(
        low,
        high,
        num_levels,
        spacing,
        weighting=weighting,
        median=min(max(median, low), high),
        log_std=log_std,
    )
    sigmas = noise.sigmas
    assert sigmas.shape == (num_levels,)
    assert np.isfinite(sigmas).all()
    assert sigmas.min() >= low * (1 - 1e-5)
    assert sigmas.max() <= high * (1 + 1e-5)
    assert (np.diff(sigmas) >= -1e-6 * sigmas[1:]).all()
    variance = losses.kernel_variances(sigmas, weighting, noise.sigma0)
    weight = losses.loss_weights(sigmas, weighting, noise.sigma_data)
    for values in (variance, weight):
        assert np.isfinite(values).all()
        assert (np.asarray(values) > 0).all()
