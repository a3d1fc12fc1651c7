"""Tiles of a large image: energy and score of the whole, in bounded memory."""

import functools
import os
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.networks import noisy_images
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.guided import guided_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.restoration.operators import Inpainting
from tf_mdsm.restoration.solve import restore
from tf_mdsm.restoration.tiles import _BYTES_PER_VALUE, TiledEnergy
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine

SCALED = UNetStructure(num_resolutions=2, scale_input=True)
PATCHES = UNetStructure(patch_size=2, num_resolutions=1)


def free_model(structure=SCALED, head="distance", guided=False):
    network = build_network("unet", (None, None, 2), 2, head=head, structure=structure)
    if guided:
        guide = build_network("unet", (None, None, 2), 3, head=head, seed=1, structure=structure)
        network = guided_network(network, guide, 2.0)
    return EnergyModel(network, NoiseLevels(0.1, 1.0, 8))


def tiles_of(model, own_side=16):
    """Tiles with few pixels of their own."""
    large = TiledEnergy(model)
    bytes_per_pixel = _BYTES_PER_VALUE * large._local.values_per_pixel
    side = 2 * large.overlap + own_side
    return TiledEnergy(model, memory_gib=side**2 * bytes_per_pixel * 1.001 / 2**30)


@functools.cache
def model_and_tiles(**arguments):
    model = free_model(**arguments)
    return model, tiles_of(model)


def assert_same(tiled, model, images):
    energy, score = model.energy_and_score(images)
    energies, scores = tiled.energy_and_score(images)
    np.testing.assert_allclose(energies, energy, rtol=2e-6)
    np.testing.assert_allclose(scores, score, atol=2e-6 * np.abs(score).max())


@pytest.mark.parametrize("structure", [SCALED, PATCHES], ids=["scaled", "patches"])
@pytest.mark.parametrize(("height", "width"), [(61, 90), (40, 33), (5, 7)])
def test_tiles_have_the_energy_and_the_score_of_the_whole(structure, height, width):
    model, tiled = model_and_tiles(structure=structure)
    assert tiled.tile_size == 2 * tiled.overlap + 16 < 61
    assert_same(tiled, model, noisy_images(2, height, width, 2))


@pytest.mark.parametrize("arguments", [{"head": "two_guesses"}, {"guided": True}])
def test_tiles_of_other_energies(arguments):
    model, tiled = model_and_tiles(**arguments)
    assert_same(tiled, model, noisy_images(1, 50, 40, 2))


def test_the_score_is_the_slope_of_the_energy():
    """By finite differences of the tiles' own energy, along a random direction."""
    (_, tiled), images = model_and_tiles(), noisy_images(1, 47, 66, 2)
    direction = tf.constant(np.random.default_rng(1).standard_normal(images.shape), tf.float32)
    step = 1e-3
    above, below = (tiled.energy(images + sign * step * direction) for sign in (1, -1))
    slope = float(above[0] - below[0]) / (2 * step)
    expected = -float(tf.reduce_sum(tiled.score(images) * direction))
    scale = float(tf.norm(tiled.score(images)) * tf.norm(direction))
    assert abs(slope - expected) < 1e-3 * scale


def test_there_are_no_seams():
    """Of an image that is equal everywhere, apart from its borders, so is the denoised one."""
    _, tiled = model_and_tiles()
    denoised = tiled.denoise(np.full((1, 100, 100, 2), 0.3, np.float32)).numpy()
    inner = denoised[0, 2 * tiled.overlap + 4 : -2 * tiled.overlap - 4]
    inner = inner[:, 2 * tiled.overlap + 4 : -2 * tiled.overlap - 4]
    assert inner.size
    # Means of 2x2 pixels: every other pixel may differ.
    for row, column in np.ndindex(2, 2):
        np.testing.assert_allclose(np.ptp(inner[row::2, column::2], (0, 1)), 0, atol=1e-5)


def test_denoised_images_and_noise_levels_are_those_of_the_model():
    (model, tiled), images = model_and_tiles(), noisy_images(1, 61, 90, 2)
    np.testing.assert_allclose(tiled.denoise(images), model.denoise(images), atol=1e-5)
    np.testing.assert_allclose(tiled.noise_level(images), model.noise_level(images), rtol=1e-5)
    stored = np.random.default_rng(0).integers(0, 256, (1, 40, 33, 2), np.uint8)
    np.testing.assert_allclose(tiled.denoise(stored), model.denoise(stored), atol=1e-5)


def test_more_memory_gives_larger_tiles():
    sizes = [TiledEnergy(free_model(), memory_gib=memory).tile_size for memory in (0.01, 0.1, 1)]
    assert sizes == sorted(set(sizes))
    values = TiledEnergy(free_model())._local.values_per_pixel
    for size, memory in zip(sizes, (0.01, 0.1, 1), strict=True):
        assert size**2 * values * _BYTES_PER_VALUE <= memory * 2**30


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs Linux' /proc")
@pytest.mark.parametrize(("height", "width"), [(9, 8), (70, 41), (33, 200)])
def test_each_tile_is_counted(height, width):
    model, tiled = model_and_tiles()
    done = []
    memory = tiled.tile_size**2 * _BYTES_PER_VALUE * tiled._local.values_per_pixel * 1.001 / 2**30
    counted = TiledEnergy(model, memory_gib=memory, after_tile=lambda: done.append(1))
    images = noisy_images(2, height, width, 2)
    energy, score = counted.energy_and_score(images)
    assert len(done) == 2 * counted.num_tiles(height, width)
    expected_energy, expected_score = tiled.energy_and_score(images)
    np.testing.assert_array_equal(energy, expected_energy)
    np.testing.assert_array_equal(score, expected_score)
    step = tiled.tile_size - 2 * tiled.overlap
    sides = [side + side % 2 for side in (height, width)]
    counts = [max(0, -(-(side - tiled.tile_size) // step)) + 1 for side in sides]
    assert counted.num_tiles(height, width) == counts[0] * counts[1]


def test_memory_does_not_grow_with_the_image():
    """Four times the image takes no more than the arrays of its own size."""
    _, tiled = model_and_tiles()

    def peak(side):
        images = np.zeros((1, side, side, 2), np.float32)
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # The largest memory so far is forgotten.
        before = memory("VmRSS")
        tiled.energy_and_score(images)
        return memory("VmHWM") - before, images.nbytes

    peak(60)
    (small, few), (large, many) = peak(60), peak(240)
    assert large - small < 12 * (many - few)


def memory(name):
    with open("/proc/self/status") as file:
        (number,) = re.findall(rf"{name}:\s+(\d+) kB", file.read())
    return 1024 * int(number)


def test_restoration_by_tiles():
    """A tiled energy is a target: restored images are those of the model, known pixels exact."""
    (model, tiles), images = model_and_tiles(structure=PATCHES), noisy_images(1, 43, 50, 2)
    operator = Inpainting(np.indices((43, 50)).sum(0) % 2)
    method = CoarseToFine(0.5, 0.0, [0.5], beta=0.5)
    values = operator.measure(images)
    whole, tiled = (restore(each, values, operator, method=method) for each in (model, tiles))
    np.testing.assert_allclose(tiled, whole, atol=1e-4)
    known = np.broadcast_to(operator.mask == 1, images.shape)
    np.testing.assert_array_equal(tiled[known], images.numpy()[known])


def test_refusals():
    with pytest.raises(InvalidArgument, match="`network` must be a U-Net for images of any size"):
        TiledEnergy(EnergyModel(build_network("dense", (4, 4, 1), 2)))
    _, tiled = model_and_tiles()
    with pytest.raises(InvalidArgument, match=r"at least 2 pixels high and wide.* 1 x 9"):
        tiled.energy(np.zeros((1, 1, 9, 2), np.float32))
    with pytest.raises(InvalidArgument, match=r"\[B, H, W, 2\]"):
        tiled.energy(np.zeros((1, 9, 9, 3), np.float32))
    for memory_gib in (0, -1, 1e-6):
        with pytest.raises(InvalidArgument, match="`memory_gib` must be at least"):
            TiledEnergy(free_model(), memory_gib=memory_gib)


def test_a_model_that_was_saved(tmp_path):
    (model, _), images = model_and_tiles(structure=PATCHES), noisy_images(1, 61, 90, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same(tiles_of(loaded), model, images)
