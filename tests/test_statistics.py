"""Mean and covariance of images, and starting points that have them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.datasets.image_statistics import fit_statistics, load_statistics, save_statistics
from tf_mdsm.errors import RunError
from tf_mdsm.samplers.starts import gaussian_start

SHAPE = (4, 3, 2)
SIZE = 24


def correlated_images(count: int, dtype=np.float32) -> np.ndarray:
    """Images in [0, 1] with different means and correlated pixels."""
    generator = np.random.default_rng(3)
    mixing = generator.normal(size=(SIZE, SIZE)) * 0.9 ** np.arange(SIZE)
    flat = 0.5 + 0.05 * generator.normal(size=(count, SIZE)) @ mixing.T
    flat = np.clip(flat + 0.1 * np.sin(np.arange(SIZE)), 0, 1).reshape(-1, *SHAPE)
    return np.round(flat * 255).astype(np.uint8) if dtype == np.uint8 else flat.astype(np.float32)


def covariance_of(statistics) -> np.ndarray:
    directions = statistics.components.reshape(len(statistics.variances), -1).astype(np.float64)
    excess = statistics.variances - statistics.residual_variance
    size = directions.shape[1]
    return directions.T @ np.diag(excess) @ directions + statistics.residual_variance * np.eye(size)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mean_and_covariance_agree_with_numpy(dtype):
    # More images than one batch of the computation.
    images = correlated_images(2_500, dtype)
    statistics = fit_statistics(images)
    flat = images.reshape(2_500, -1).astype(np.float64) / (255 if dtype == np.uint8 else 1)
    np.testing.assert_allclose(statistics.mean.ravel(), flat.mean(0), rtol=1e-5)
    expected = np.cov(flat.T, bias=True)
    np.testing.assert_allclose(covariance_of(statistics), expected, atol=1e-6 * expected.max())
    assert statistics.residual_variance == 0
    assert (np.diff(statistics.variances) <= 0).all()
    directions = statistics.components.reshape(SIZE, SIZE)
    np.testing.assert_allclose(directions @ directions.T, np.eye(SIZE), atol=1e-5)


def test_leading_components_keep_the_total_variance():
    images = correlated_images(2_000)
    full, leading = fit_statistics(images), fit_statistics(images, max_components=5)
    np.testing.assert_array_equal(leading.variances, full.variances[:5])
    assert leading.residual_variance == pytest.approx(full.variances[5:].mean(), rel=1e-4)
    trace = np.trace(covariance_of(leading))
    assert trace == pytest.approx(full.variances.sum(), rel=1e-5)


def test_statistics_from_products_of_images_agree_with_the_covariance():
    """Large images are analyzed by their scalar products. Here both methods use all images."""
    images = correlated_images(1_500)
    exact, from_products = fit_statistics(images), fit_statistics(images, max_pixels=1)
    np.testing.assert_allclose(from_products.mean, exact.mean, rtol=1e-4)
    assert len(from_products.variances) == SIZE, "more directions than exist"
    np.testing.assert_allclose(from_products.variances, exact.variances, rtol=1e-3)
    expected = covariance_of(exact)
    np.testing.assert_allclose(covariance_of(from_products), expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("kept", [SIZE, 4])
def test_gaussian_starts_have_the_mean_and_covariance_plus_noise(kept):
    """Mean and covariance of 20,000 starts: N(mean, C + sigma^2 I), within 5 standard errors."""
    statistics = fit_statistics(correlated_images(2_000), max_components=kept)
    count, sigma = 20_000, 0.3
    start = gaussian_start(**dataclasses.asdict(statistics), sigma=sigma)
    starts = start(tf.range(count, dtype=tf.int64)).numpy().reshape(count, -1)
    expected = covariance_of(statistics) + sigma**2 * np.eye(SIZE)
    spread = np.sqrt(np.diag(expected))
    error_of_mean = (starts.mean(0) - statistics.mean.ravel()) / spread
    assert np.abs(error_of_mean).max() < 5 / np.sqrt(count)
    errors = (np.cov(starts.T) - expected) / np.outer(spread, spread)
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count)
    again = start(tf.constant([7, 19_999], tf.int64)).numpy().reshape(2, -1)
    np.testing.assert_allclose(again, starts[[7, 19_999]], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("max_pixels", [1, 100])
def test_equal_images_have_no_variance(max_pixels):
    statistics = fit_statistics(np.full((10, 2, 2, 1), 128, np.uint8), max_pixels=max_pixels)
    np.testing.assert_allclose(statistics.mean, 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(statistics.variances, 0, atol=1e-9)
    start = gaussian_start(**dataclasses.asdict(statistics), sigma=0.0)
    starts = start(tf.range(3, dtype=tf.int64))
    np.testing.assert_allclose(starts, np.full((3, 2, 2, 1), 128 / 255), atol=1e-4)


def test_statistics_are_saved_and_loaded(tmp_path):
    statistics = fit_statistics(correlated_images(50), max_components=3)
    path = str(tmp_path / "statistics.npz")
    assert load_statistics(path) is None
    save_statistics(statistics, path)
    loaded = load_statistics(path)
    np.testing.assert_array_equal(loaded.components, statistics.components)
    assert loaded.residual_variance == statistics.residual_variance
    content = (tmp_path / "statistics.npz").read_bytes()
    (tmp_path / "statistics.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match=r"statistics\.npz cannot be read"):
        load_statistics(path)
