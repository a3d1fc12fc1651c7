"""Photographs restored by gray and color models: exact values, all tasks, all ways of channels."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.image_data import random_uint8
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.losses import noise_level
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.restoration.operators import Downsampling, Grayscale, LowPass
from tf_mdsm.restoration.photographs import PhotographRestorer, enlargement
from tf_mdsm.restoration.solve import denoise_in_half_steps, half_steps
from tf_mdsm.restoration.tiles import TiledEnergy
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.schedules import growing_step_sizes

METHOD = CoarseToFine(sigma_start=0.5, sigma_end=0.01, step_sizes=growing_step_sizes(0.1, 2))


NOISE = NoiseLevels(0.1, 1.0, 8)


@functools.cache
def target(channels: int, noise: NoiseLevels = NOISE) -> TiledEnergy:
    structure = UNetStructure(num_resolutions=2, scale_input=True)
    network = build_network("unet", (None, None, channels), 2, head="distance", structure=structure)
    return TiledEnergy(EnergyModel(network, noise))


def restorer(channels: int, task: str, method=METHOD, **settings) -> PhotographRestorer:
    return PhotographRestorer(target(channels), task, method, **settings)


def photo(channels: int, height=9, width=12, seed=0) -> np.ndarray:
    return random_uint8(height, width, channels, seed=seed).astype(np.float32) / 255


def test_one_step_is_the_denoiser():
    noisy = photo(3)
    restored = restorer(3, "denoise", None).from_measured(noisy)
    expected = target(3).denoise(noisy[None])
    np.testing.assert_array_equal(restored.pixels, expected[0])
    level = noise_level(tf.constant(noisy[None]), expected)
    np.testing.assert_allclose(restored.noise_level, level[0], rtol=1e-6)
    assert restored.original is None


def test_a_gray_model_denoises_each_channel_by_itself():
    noisy = photo(3)
    restored = restorer(1, "denoise", None).from_measured(noisy)
    assert restored.pixels.shape == noisy.shape
    for channel in range(3):
        one = target(1).denoise(noisy[None, ..., channel : channel + 1])
        np.testing.assert_allclose(restored.pixels[..., channel], one[0, ..., 0], atol=1e-6)


def test_a_color_model_denoises_three_equal_channels():
    noisy = photo(1)
    restored = restorer(3, "denoise", None).from_measured(noisy)
    expected = target(3).denoise(noisy[None].repeat(3, axis=-1))[0].numpy()
    np.testing.assert_allclose(restored.pixels, expected.mean(-1, keepdims=True), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_half_steps_are_taken_in_each_channel_of_the_model(channels):
    noisy = photo(3)
    method = half_steps(NOISE)
    restored = restorer(channels, "denoise", method).from_measured(noisy)
    images = noisy[None] if channels == 3 else np.moveaxis(noisy, -1, 0)[..., None]
    expected = denoise_in_half_steps(target(channels), images)
    expected = expected[0] if channels == 3 else np.moveaxis(expected[..., 0], 0, -1)
    np.testing.assert_array_equal(restored.pixels, expected)
    taken_away = np.sqrt(np.mean((noisy - restored.pixels) ** 2, dtype=float))
    np.testing.assert_allclose(restored.noise_level, taken_away, rtol=1e-5)
    one_step = restorer(channels, "denoise", None).from_measured(noisy)
    assert np.abs(restored.pixels - one_step.pixels).max() > 1e-4
    # 9 evaluations at most, of each image of a gray model.
    tiles = restorer(channels, "denoise", method).max_tiles(noisy.shape, is_measured=True)
    assert tiles == (9 if channels == 3 else 27)


@pytest.mark.parametrize("method", [None, half_steps(NOISE)])
def test_a_photograph_that_the_model_does_not_know_is_refused(method):
    """An untrained model makes everything nearly black: that is more than noise of 0.1."""
    unknown = PhotographRestorer(target(1, NoiseLevels(0.01, 0.1, 8)), "denoise", method)
    with pytest.raises(RunError, match=r"change the pixels by 0\..* at most 0\.1: it does not"):
        unknown.from_measured(photo(1))


def test_noise_is_added_to_originals():
    original = photo(3, 60, 60)
    restored = restorer(3, "denoise", None, noise=0.2, seed=4).from_original(original)
    assert restored.original is not None
    added = restored.measured - restored.original
    np.testing.assert_array_equal(restored.original, original)
    np.testing.assert_allclose([added.mean(), added.std()], [0, 0.2], atol=0.01)
    other = restorer(3, "denoise", None, noise=0.2, seed=5).from_original(original)
    assert np.abs(other.measured - restored.measured).max() > 0.1


@pytest.mark.parametrize("model_channels", [1, 3])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_measured", [True, False])
def test_known_pixels_stay_and_unknown_ones_do_not_matter(model_channels, channels, is_measured):
    mask = (np.random.default_rng(0).random((9, 12, 1)) < 0.7).astype(np.float32)
    pixels = photo(channels)
    changed = np.where(mask == 1, pixels, 1 - pixels)
    inpaint = restorer(model_channels, "inpaint_mask", mask=mask)
    restore = inpaint.from_measured if is_measured else inpaint.from_original
    restored = restore(pixels).pixels
    levels = np.round(255 * restored)
    known = np.broadcast_to(mask == 1, pixels.shape)
    np.testing.assert_array_equal(levels[known], 255 * pixels[known])
    np.testing.assert_array_equal(restore(changed).pixels, restored)
    assert np.abs(restored - pixels)[~known].max() > 1e-3


def test_only_the_surroundings_of_missing_pixels_are_looked_at():
    """Two scratches: the left one is filled in as in a photograph that ends with its window."""
    margin = 2 * target(1).overlap
    pixels = photo(1, 3 * margin, 6 * margin)
    mask = np.ones_like(pixels)
    mask[2:5, 3:9] = mask[-1, -7:] = 0
    inpaint = restorer(1, "inpaint_mask", mask=mask)
    restored = inpaint.from_measured(pixels).pixels
    np.testing.assert_array_equal(restored[mask == 1], pixels[mask == 1])
    assert np.abs(restored - pixels)[mask == 0].min() > 0
    left = slice(0, 5 + margin), slice(0, 9 + margin)
    alone = dataclasses.replace(inpaint, mask=mask[left]).from_measured(pixels[left]).pixels
    np.testing.assert_array_equal(restored[left], alone)
    # Two steps and the last evaluation, in each of two windows.
    assert inpaint.max_tiles(pixels.shape, is_measured=True) == 2 * 3


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize(("model_channels", "channels"), [(1, 3), (3, 1), (3, 3)])
def test_small_photographs_are_enlarged(factor, model_channels, channels):
    small = photo(channels, 3, 5)
    restored = restorer(model_channels, f"super_resolution_{factor}").from_measured(small)
    assert restored.pixels.shape == (3 * factor, 5 * factor, channels)
    means = Downsampling(factor).measure(restored.pixels[None])[0] / factor
    np.testing.assert_allclose(means, small, atol=1e-5)
    assert enlargement(f"super_resolution_{factor}") == factor


def test_originals_are_cut_to_whole_blocks():
    original = photo(3, 11, 13)
    restored = restorer(3, "super_resolution_4").from_original(original)
    assert restored.pixels.shape == restored.measured.shape == (8, 12, 3)
    np.testing.assert_array_equal(restored.original, original[:8, :12])
    block = original[4:8, 8:12].mean((0, 1))
    np.testing.assert_allclose(restored.measured[6, 10], block, atol=1e-6)


@pytest.mark.parametrize("factor", [2, 4])
def test_the_tiles_of_a_cut_original_are_those_of_its_blocks(factor):
    """Two steps and the last evaluation, of each channel."""
    enlarging = restorer(1, f"super_resolution_{factor}")
    whole = [side - side % factor for side in (11, 13)]
    tiles = enlarging.max_tiles((11, 13, 3), is_measured=False)
    assert tiles == enlarging.max_tiles((*whole, 3), is_measured=False) == 9
    with pytest.raises(InvalidArgument, match=r"at least 2 pixels high and wide .* 0 x 8"):
        restorer(1, "super_resolution_4").max_tiles((3, 9, 1), is_measured=False)


def test_low_frequencies_are_kept():
    pixels = photo(3)
    restored = restorer(1, "deblur", cutoff=0.2).from_measured(pixels).pixels
    low_pass = LowPass((9, 12, 3), 0.2)
    expected = low_pass.measure(pixels[None])
    np.testing.assert_allclose(low_pass.measure(restored[None]), expected, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gray_photograph_becomes_color(channels):
    pixels = photo(channels)
    gray = Grayscale()
    restored = restorer(3, "colorize").from_measured(pixels)
    assert restored.pixels.shape == (9, 12, 3)
    means = gray.measure(restored.pixels[None]) / 3**0.5
    np.testing.assert_allclose(means[0], pixels.mean(-1, keepdims=True), atol=1e-5)
    of_original = restorer(3, "colorize").from_original(pixels)
    np.testing.assert_allclose(of_original.pixels, restored.pixels, atol=1e-4)
    expected = pixels.mean(-1, keepdims=True).repeat(3, axis=-1)
    np.testing.assert_allclose(of_original.measured, expected, atol=1e-6)


def test_solutions_follow_from_the_seed():
    mask = np.ones((9, 12, 1), np.float32)
    mask[3:6, 3:8] = 0
    first, again, other = (
        restorer(3, "inpaint_mask", mask=mask, seed=seed).from_measured(photo(3)).pixels
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_several_solutions_become_their_mean():
    """Of the seeds that follow; known pixels stay, bit for bit."""
    mask = np.ones((9, 12, 1), np.float32)
    mask[3:6, 3:8] = 0
    first, second, third, mean = (
        restorer(1, "inpaint_mask", mask=mask, seed=seed, num_solutions=number)
        .from_measured(photo(1))
        .pixels
        for seed, number in ((4, 1), (5, 1), (6, 1), (4, 3))
    )
    np.testing.assert_allclose(mean, (first + second + third) / 3, atol=1e-6)
    np.testing.assert_array_equal(mean[mask == 1], photo(1)[mask == 1])
    small = restorer(1, "super_resolution_2", num_solutions=2)
    assert small.max_tiles((4, 5, 3), is_measured=True) == 2 * 9
    denoiser = restorer(1, "denoise", num_solutions=2)
    assert denoiser.max_tiles((4, 5, 1), is_measured=True) == 3


def test_progress_counts_all_tiles():
    """Three channels, of which each has three steps and the last evaluation."""
    done = []
    tiled = target(1)
    counted = TiledEnergy.__new__(TiledEnergy)
    counted.__dict__.update(tiled.__dict__)
    counted.energy_and_score = lambda images: (done.append(1), tiled.energy_and_score(images))[1]
    small = photo(3, 4, 5)
    restorer_ = dataclasses.replace(restorer(1, "super_resolution_2"), target=counted)
    restorer_.from_measured(small)
    assert len(done) == restorer_.max_tiles(small.shape, is_measured=True) == 9
    denoiser = restorer(3, "denoise", None)
    assert denoiser.max_tiles((9, 12, 1), is_measured=True) == 1


def test_what_cannot_be_restored_is_refused():
    with pytest.raises(InvalidArgument, match=r"`task` must not be colorize, as the model is gray"):
        restorer(1, "colorize")
    with pytest.raises(InvalidArgument, match=r"at least 2 pixels high and wide .* 1 x 9"):
        restorer(1, "denoise").from_measured(photo(1, 1, 9))
    with pytest.raises(InvalidArgument, match=r"at least 2 pixels high and wide .* 0 x 8"):
        restorer(1, "super_resolution_4").from_original(photo(1, 3, 9))
    mask = np.ones((5, 6, 1), np.float32)
    mask[0] = 0
    with pytest.raises(InvalidArgument, match=r"of the photograph's size, 9 x 12. Received: 5 x 6"):
        restorer(1, "inpaint_mask", mask=mask).from_measured(photo(1))
