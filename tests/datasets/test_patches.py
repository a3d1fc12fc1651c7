"""Patches: windows of images whose pixels say where they are, and how often each is drawn."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from tf_mdsm.datasets import patches as module
from tf_mdsm.datasets.patches import Patches, random_indices
from tf_mdsm.errors import InvalidArgument


def coordinates(number: int, height: int, width: int) -> np.ndarray:
    """An image whose pixels are (number of the image, row, column)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([np.full_like(rows, number), rows, columns], axis=-1).astype(np.uint8)


SIZES = [(5, 9), (4, 4), (12, 6)]
IMAGES = [coordinates(number, *size) for number, size in enumerate(SIZES)]


def test_patches_are_all_windows_image_by_image_and_row_by_row():
    patches = Patches(IMAGES, 4)
    starts = [
        (number, top, left)
        for number, (height, width) in enumerate(SIZES)
        for top in range(height - 3)
        for left in range(width - 3)
    ]
    assert len(starts) == 2 * 6 + 1 + 9 * 3
    assert patches.shape == (len(starts), 4, 4, 3)
    assert (len(patches), patches.num_images, patches.dtype) == (len(starts), 3, np.uint8)
    pixels = patches[np.arange(len(starts))]
    window = coordinates(0, 4, 4)
    for patch, start in zip(pixels, starts, strict=True):
        np.testing.assert_array_equal(patch, window + np.array(start, np.uint8))


def test_a_grid_lies_in_the_middle_of_each_image_and_does_not_overlap():
    grid = Patches(IMAGES, 4, stride=4)
    pixels = grid[np.arange(len(grid))]
    starts = [tuple(patch[0, 0]) for patch in pixels]
    # 5 x 9 pixels leave one of 9 columns over, 12 x 6 pixels one column on both sides.
    assert starts == [(0, 0, 0), (0, 0, 4), (1, 0, 0), (2, 0, 1), (2, 4, 1), (2, 8, 1)]


def test_patches_are_copies():
    images = [image.copy() for image in IMAGES]
    patches = Patches(images, 4)
    patches[np.array([0, 0])][:] = 200
    np.testing.assert_array_equal(images[0], IMAGES[0])


def test_numbers_may_exceed_32_bits():
    """Of large images, which are views of one value here."""
    image = np.broadcast_to(np.uint8(7), (70_000, 70_000, 1))
    patches = Patches([image] * 3, 2)
    assert len(patches) == 3 * 69_999**2
    place = patches.place(np.array([0, 69_999**2 - 1, 69_999**2, len(patches) - 1]))
    assert place.image.tolist() == [0, 0, 1, 2]
    assert place.top.tolist() == [0, 69_998, 0, 69_998]
    assert place.left.tolist() == [0, 69_998, 0, 69_998]
    assert (patches.sample(5) == 7).all()


def test_images_smaller_than_a_patch_are_refused():
    with pytest.raises(InvalidArgument, match=r"at least 5 x 5 pixels each\. Received: 4 x 4"):
        Patches(IMAGES, 5)


def test_a_sample_of_more_patches_than_there_are_holds_each_once():
    patches = Patches(IMAGES, 4)
    sample = patches.sample(1_000)
    assert sample.shape == patches.shape
    assert len({patch.tobytes() for patch in sample}) == len(patches)
    assert (sample != patches[np.arange(len(patches))]).any()  # In another order.
    np.testing.assert_array_equal(sample, Patches(IMAGES, 4).sample(1_000))


def test_a_sample_is_bounded_by_number_and_bytes(monkeypatch):
    patches = Patches(IMAGES, 4)
    sample = patches.sample(7)
    assert len({patch.tobytes() for patch in sample}) == len(sample) == 7
    monkeypatch.setattr(module, "_MAX_SAMPLE_BYTES", 5 * 48 + 47)
    assert len(patches.sample(7)) == 5
    monkeypatch.setattr(module, "_MAX_SAMPLE_BYTES", 1)
    assert len(patches.sample(7)) == 1


def drawn(count: int, *, steps: int, batch_size: int, seed: int = 3) -> np.ndarray:
    position = tf.range(batch_size, dtype=tf.int64)
    draw = tf.function(lambda step: random_indices(step, position, count, seed))
    return np.stack([draw(tf.constant(step, tf.int64)) for step in range(steps)])


def test_every_patch_is_equally_likely():
    """And independent of the one before, and of the one at the same place a step before."""
    numbers = drawn(40, steps=100, batch_size=800)
    assert scipy.stats.chisquare(np.bincount(numbers.ravel(), minlength=40)).pvalue > 1e-3
    for one, other in ((numbers[:, :-1:2], numbers[:, 1::2]), (numbers[:-1:2], numbers[1::2])):
        pairs = np.bincount((40 * one + other).ravel(), minlength=1_600)
        assert scipy.stats.chisquare(pairs).pvalue > 1e-3


def test_every_patch_of_very_many_is_equally_likely():
    """The permutation of `image_indices` fails this: neighbors in a batch lie together."""
    count = 3 * 10**12
    shares = drawn(count, steps=50, batch_size=1_000) / count
    assert 0 <= shares.min() < shares.max() < 1
    assert scipy.stats.kstest(shares.ravel(), "uniform").pvalue > 1e-3
    correlation = np.corrcoef(shares[:, :-1].ravel(), shares[:, 1:].ravel())[0, 1]
    assert abs(correlation) < 4.5 / np.sqrt(shares.size)


def test_large_images_are_seen_as_often_as_they_have_patches():
    patches = Patches(IMAGES, 4)
    numbers = drawn(len(patches), steps=20, batch_size=500).ravel()
    images = np.bincount(patches.place(numbers).image)
    expected = np.array([12, 1, 27]) / 40 * len(numbers)
    assert scipy.stats.chisquare(images, expected).pvalue > 1e-3
