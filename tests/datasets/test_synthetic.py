"""Synthetic data: the mixture of Gaussians with its energy, and the blobs."""

import tracemalloc

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.datasets import synthetic


def test_points_of_the_mixture_have_its_means_and_its_spread():
    points = synthetic.mixture(8_000)
    assert (points.shape, points.dtype) == ((8_000, 1, 1, 2), np.float32)
    distances = np.linalg.norm(points.reshape(-1, 1, 2) - synthetic.mixture_means(), axis=-1)
    nearest = distances.argmin(1)
    shares = np.bincount(nearest, minlength=8) / 8_000
    assert np.abs(shares - 1 / 8).max() < 4.5 * np.sqrt(7 / 64 / 8_000)
    offsets = points.reshape(-1, 2) - synthetic.mixture_means()[nearest]
    error = offsets.std(0) / synthetic.MIXTURE_STD - 1
    assert np.abs(error).max() < 4.5 / np.sqrt(2 * 8_000)
    np.testing.assert_array_equal(points, synthetic.mixture(8_000))


def test_means_are_on_a_circle_around_the_center():
    offsets = synthetic.mixture_means() - 0.5
    np.testing.assert_allclose(np.linalg.norm(offsets, axis=1), 0.3, rtol=1e-5)
    np.testing.assert_allclose(offsets[::2], [[0.3, 0], [0, 0.3], [-0.3, 0], [0, -0.3]], atol=1e-6)


def test_energy_of_the_mixture():
    """Compared with the sum of Gaussians, computed explicitly."""
    sigmas = np.array([0.1, 0.4], np.float32)
    points = np.random.default_rng(0).uniform(size=(5, 1, 1, 2)).astype(np.float32)
    density = np.zeros(5)
    for mean in synthetic.mixture_means():
        squared = ((points.reshape(5, 2) - mean) ** 2).sum(1)
        for sigma in sigmas:
            variance = synthetic.MIXTURE_STD**2 + sigma**2
            weight = sigma**2 / (sigmas**2).sum() / 8
            density += weight * np.exp(-squared / (2 * variance)) / (2 * np.pi * variance)
    ours = synthetic.mixture_energy(tf.constant(points), sigmas)
    np.testing.assert_allclose(ours, -np.log(density), rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_blobs_are_gaussian(channels):
    """The logarithm of a channel has the same curvature -1/width^2 everywhere, along both axes."""
    size = 16
    blobs = synthetic.blobs(20, size, channels)
    assert (blobs.shape, blobs.dtype) == ((20, size, size, channels), np.uint8)
    np.testing.assert_array_equal(blobs, synthetic.blobs(20, size, channels))
    logs = np.log(np.maximum(blobs, 1.0))
    for axis in (1, 2):
        curvatures = np.diff(logs, 2, axis=axis) * size**2
        is_bright = np.minimum(np.roll(blobs, 1, axis), np.roll(blobs, -1, axis)) > 50
        kept = np.delete(is_bright, [0, size - 1], axis=axis)
        for blob, bright in zip(curvatures, kept, strict=True):
            # Rounding changes each of four logarithms (one counts twice) by at most 1/100.
            assert np.ptp(blob[bright]) < 2 * 0.04 * size**2
            assert -1 / 0.2**2 + 0.04 * size**2 > blob[bright].mean() > -1 / 0.1**2 - 10.24


def test_blobs_differ_in_place_and_color():
    blobs = synthetic.blobs(50, 16, 3).astype(float)
    axis = (np.arange(16) + 0.5) / 16
    total = blobs.sum((1, 2, 3))
    centers = np.stack(
        [(blobs.sum((2, 3)) @ axis) / total, (blobs.sum((1, 3)) @ axis) / total], axis=1
    )
    assert np.ptp(centers, axis=0).min() > 0.3
    brightest = blobs.max((1, 2))
    assert np.ptp(brightest, axis=0).min() > 100


def test_blobs_need_little_more_memory_than_they_take():
    tracemalloc.start()
    images = synthetic.blobs(4_000, 32, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * images.nbytes


def test_blobs_do_not_depend_on_the_parts(monkeypatch):
    whole = synthetic.blobs(40, 8, 3)
    monkeypatch.setattr(synthetic, "_PART", 7)
    np.testing.assert_array_equal(synthetic.blobs(40, 8, 3), whole)
