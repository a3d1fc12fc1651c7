"""The decoder: a distribution over gray levels, and its fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.pixel_decoder import PixelDecoder, fit_decoder


@settings(max_examples=50, deadline=None)
@given(
    levels=st.sampled_from([2, 17, 256]),
    guess=st.floats(-2, 3),
    std=st.floats(1e-3, 2),
    weight=st.floats(0, 1),
)
def test_the_probabilities_of_all_levels_sum_to_1(levels, guess, std, weight):
    images = np.linspace(0, 1, levels).reshape(-1, 1, 1, 1)
    stds, weights = np.array([std, 0.1]), np.array([[weight, 1 - weight]])
    decoder = PixelDecoder(stds, weights, levels)
    logs = decoder.log_probability(images, np.full_like(images, guess))
    assert np.isfinite(logs).all()
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-9)


def test_a_level_far_from_the_guess_has_a_finite_probability():
    """By Mills' ratio, exp(-t^2 / 2) / (t sqrt(2 pi)) is the mass beyond t deviations."""
    decoder = PixelDecoder(np.array([1e-3]), np.ones((1, 1)), 256)
    (found,) = decoder.log_probability(np.full((1, 1, 1, 1), 200 / 255), np.zeros((1, 1, 1, 1)))
    t = (199.5 / 255) / 1e-3
    assert found == pytest.approx(-(t**2) / 2 - np.log(t * np.sqrt(2 * np.pi)), rel=1e-6)


def test_each_channel_has_its_own_mixture():
    random = np.random.default_rng(0)
    images = random.uniform(size=(3, 4, 4, 2))
    guesses = images + random.normal(size=images.shape)
    weights = np.array([[0.25, 0.75], [0.0, 1.0]])
    found = PixelDecoder(np.array([0.3, 2.0]), weights, None).log_probability(images, guesses)
    narrow, wide = (stats.norm(guesses, std).pdf(images) for std in (0.3, 2.0))
    first = 0.25 * narrow[..., 0] + 0.75 * wide[..., 0]
    expected = np.log(first).sum(axis=(1, 2)) + np.log(wide[..., 1]).sum(axis=(1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("levels", [None, 256])
def test_the_fit_is_as_good_as_the_true_gaussian(levels):
    """Of a width between two of the grid a mixture of them loses less than 0.001 nats a value."""
    random, stds = np.random.default_rng(1), np.array([0.022, 0.1])
    images = np.rint(255 * random.uniform(0.4, 0.6, size=(20, 25, 40, 2))) / 255
    guesses = images + stds * random.normal(size=images.shape)
    found = fit_decoder(images, guesses, gray_levels=levels)
    assert found.gray_levels == levels
    np.testing.assert_allclose(found.weights.sum(axis=1), 1)
    true = PixelDecoder(stds, np.eye(2), levels)
    lost = true.log_probability(images, guesses) - found.log_probability(images, guesses)
    assert abs(lost.sum()) / images.size < 0.001


def test_the_fit_finds_the_weights_of_two_widths():
    """Of 20,000 values, of which a quarter is wide: 5 standard errors of a share."""
    random = np.random.default_rng(3)
    is_wide = random.uniform(size=(20, 25, 40, 1)) < 0.25
    stds = np.where(is_wide, 2.0**-3, 2.0**-9)
    images = np.full(stds.shape, 0.5)
    found = fit_decoder(images, images + stds * random.normal(size=stds.shape), gray_levels=None)
    wide = found.weights[0, found.stds > 2**-5.5].sum()
    assert wide == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / 20_000))
    one_width = fit_decoder(
        images, images + 2.0**-5 * random.normal(size=stds.shape), gray_levels=256
    )
    near = (one_width.stds > 2.0**-6) & (one_width.stds < 2.0**-4)
    assert one_width.weights[0, near].sum() > 0.99


def test_perfect_guesses_are_decoded_without_bits():
    images = np.rint(255 * np.random.default_rng(2).uniform(size=(2, 8, 8, 1))) / 255
    decoder = fit_decoder(images, images, gray_levels=256)
    np.testing.assert_allclose(decoder.log_probability(images, images), 0, atol=64 * 1e-4)


def test_without_images_there_is_nothing_to_fit():
    with pytest.raises(InvalidArgument, match="`images` must hold at least one image"):
        fit_decoder(np.zeros((0, 2, 2, 1)), np.zeros((0, 2, 2, 1)), gray_levels=256)
