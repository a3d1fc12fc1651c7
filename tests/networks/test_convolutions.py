"""The networks' convolutions, fused with resizing, against the two steps one after the other."""

import itertools

import keras
import numpy as np
import pytest

from tests.helpers.networks import noisy_images
from tf_mdsm.networks import convolutions


def test_seeds_are_determined_by_one_seed():
    seeds, again, other = (
        list(itertools.islice(convolutions.integer_seeds(seed), 100)) for seed in (1, 1, 2)
    )
    assert seeds == again
    assert len({*seeds, *other}) == 200
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds)


def test_initial_weights_are_uniform_between_their_limits():
    values = np.ravel(convolutions.fan_in_uniform(25, seed=0)((100, 100)))
    assert np.abs(values).max() <= 1 / 5
    # Of n = 10^4 uniform values: the mean's standard error is limit / sqrt(3 n), and the number in
    # each quarter of the interval has a standard deviation of sqrt(n 3 / 16).
    assert abs(values.mean()) < 5 * 0.2 / np.sqrt(3e4)
    counts, _ = np.histogram(values, 4, (-0.2, 0.2))
    np.testing.assert_allclose(counts, 2500, atol=5 * np.sqrt(1e4 * 3 / 16))


def test_a_convolution_uses_two_seeds_also_without_a_bias():
    images = keras.Input((4, 4, 2))
    left = []
    for use_bias in (True, False):
        seeds = iter(range(5))
        convolutions.convolution(
            images, 3, 3, seeds=seeds, dtype="float32", name="layer", use_bias=use_bias
        )
        left.append(list(seeds))
    assert left == [[2, 3, 4], [2, 3, 4]]


@pytest.mark.parametrize(("size", "use_bias"), [(3, True), (1, True), (5, False)])
def test_mean_pooled_convolution(size, use_bias):
    """Equals a convolution followed by average pooling, also at the borders; can be cloned."""
    fused = convolutions.MeanPooledConv2D(3, size, padding="same", use_bias=use_bias)
    plain = keras.layers.Conv2D(3, size, padding="same", use_bias=use_bias)
    images = noisy_images(2, 6, 4, 5)
    pooled = fused(images)
    plain.build(images.shape)
    plain.set_weights(fused.get_weights())
    expected = keras.layers.AveragePooling2D(2)(plain(images))
    # Sums of at most 125 products of numbers about 1, added in another order.
    np.testing.assert_allclose(pooled, expected, atol=1e-5)
    assert fused.compute_output_shape(images.shape) == pooled.shape
    clone = convolutions.MeanPooledConv2D.from_config(fused.get_config())
    clone.build(images.shape)
    clone.set_weights(fused.get_weights())
    np.testing.assert_array_equal(clone(images), pooled)


@pytest.mark.parametrize(("size", "use_bias"), [(3, True), (1, True), (5, False)])
def test_joined_convolution(size, use_bias):
    """Equals upsampling, concatenation and convolution, also at the borders; can be cloned."""
    small, large = noisy_images(2, 3, 2, 4), noisy_images(2, 6, 4, 3, seed=1)
    joined = convolutions.JoinedConv2D(5, size, padding="same", use_bias=use_bias)
    result = joined([small, large])
    plain = keras.layers.Conv2D(5, size, padding="same", use_bias=use_bias)
    repeated = np.repeat(np.repeat(small, 2, 1), 2, 2)
    concatenated = np.concatenate([repeated, large], -1)
    plain.build(concatenated.shape)
    plain.set_weights(joined.get_weights())
    # Sums of at most 175 products of numbers about 1, added in another order.
    np.testing.assert_allclose(result, plain(concatenated), atol=1e-5)
    assert joined.compute_output_shape([small.shape, large.shape]) == result.shape
    clone = convolutions.JoinedConv2D.from_config(joined.get_config())
    clone.build([small.shape, large.shape])
    clone.set_weights(joined.get_weights())
    np.testing.assert_array_equal(clone([small, large]), result)


@pytest.mark.parametrize("name", ["MeanPooledConv2D", "JoinedConv2D"])
def test_registered_names_stay(name):
    """Saved networks refer to the layers by these names, whatever module they are in."""
    layer = keras.saving.get_registered_object(f"tf_mdsm>{name}")
    assert layer is getattr(convolutions, name)
