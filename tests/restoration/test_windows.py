"""Windows around missing pixels: what they hold, and that the score there is the image's."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.restoration.tiles import TiledEnergy
from tf_mdsm.restoration.windows import windows_around


def missing(shape: tuple[int, int], *places: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def bounds(windows) -> list[tuple[int, int, int, int]]:
    return [(rows.start, rows.stop, cols.start, cols.stop) for rows, cols in windows]


def test_one_pixel_has_its_margin_and_starts_at_a_multiple():
    windows = windows_around(missing((40, 60), (20, 31)), margin=5, multiple=4)
    assert bounds(windows) == [(12, 26, 24, 37)]


def test_windows_end_with_the_image():
    windows = windows_around(missing((40, 60), (0, 0), (39, 59)), margin=5, multiple=4)
    assert bounds(windows) == [(0, 6, 0, 6), (32, 40, 52, 60)]


def test_near_pixels_share_a_window():
    windows = windows_around(missing((90, 90), (20, 20), (29, 29)), margin=5, multiple=1)
    assert bounds(windows) == [(15, 35, 15, 35)]


def test_windows_that_overlap_become_one():
    """An angle, in whose corner a pixel is further away than the margin from all others."""
    angle = missing((80, 80), *((row, 10) for row in range(10, 60)))
    angle |= missing((80, 80), *((59, column) for column in range(10, 60)), (20, 45))
    assert bounds(windows_around(angle, margin=5, multiple=1)) == [(5, 65, 5, 65)]


def test_where_windows_save_nothing_the_image_is_the_only_one():
    scattered = np.random.default_rng(0).random((50, 70)) < 0.3
    assert bounds(windows_around(scattered, margin=5, multiple=4)) == [(0, 50, 0, 70)]


@pytest.mark.parametrize("seed", range(20))
def test_every_missing_pixel_is_in_one_window_with_its_margin(seed):
    random = np.random.default_rng(seed)
    height, width = random.integers(1, 200, 2)
    is_missing = random.random((height, width)) < random.choice([3e-4, 3e-3, 0.3])
    is_missing[random.integers(height), random.integers(width)] = True
    margin, multiple = int(random.integers(0, 20)), int(random.choice([1, 2, 8]))
    covered = np.zeros((height, width), int)
    for rows, columns in windows_around(is_missing, margin=margin, multiple=multiple):
        covered[rows, columns] += 1
        assert rows.start % multiple == columns.start % multiple == 0
    assert covered.max() == 1
    for row, column in np.argwhere(is_missing):
        top, left = max(row - margin, 0), max(column - margin, 0)
        assert covered[top : row + margin + 1, left : column + margin + 1].all()


@pytest.mark.parametrize("patch_size", [1, 2])
def test_the_score_at_missing_pixels_is_that_of_the_whole_image(patch_size):
    """Of a network that does not scale its input by the noise variance of the whole image."""
    structure = UNetStructure(num_resolutions=2, patch_size=patch_size)
    network = build_network("unet", (None, None, 1), 2, head="distance", structure=structure)
    tiled = TiledEnergy(EnergyModel(network, NoiseLevels(0.1, 1.0, 8)))
    side = 6 * tiled.overlap + 3
    images = tf.random.stateless_uniform([1, side, side + 6, 1], [0, 1])
    is_missing = np.zeros(images.shape[1:3], bool)
    is_missing[side // 2 : side // 2 + 3, side // 2 + 5] = True
    [(rows, columns)] = windows_around(
        is_missing, margin=2 * tiled.overlap, multiple=tiled.multiple
    )
    assert (rows.stop - rows.start) < side
    whole = tiled.score(images).numpy()[0][is_missing]
    window = tiled.score(images[:, rows, columns]).numpy()[0][is_missing[rows, columns]]
    np.testing.assert_allclose(window, whole, rtol=2e-5)
