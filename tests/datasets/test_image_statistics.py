"""Mean and covariance of images."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.correlated_images import SIZE, correlated_images, covariance_of
from tf_mdsm.datasets.image_statistics import fit_statistics, load_statistics, save_statistics
from tf_mdsm.errors import RunError
from tf_mdsm.samplers.starts import GaussianStart


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


@pytest.mark.parametrize("max_pixels", [1, 100])
def test_equal_images_have_no_variance(max_pixels):
    statistics = fit_statistics(np.full((10, 2, 2, 1), 128, np.uint8), max_pixels=max_pixels)
    np.testing.assert_allclose(statistics.mean, 128 / 255, rtol=1e-6)
    np.testing.assert_allclose(statistics.variances, 0, atol=1e-9)
    start = GaussianStart(**statistics.gaussian(), sigma=0.0)
    starts = start.noisy_images(tf.range(3, dtype=tf.int64), (2, 2, 1))
    np.testing.assert_allclose(starts, np.full((3, 2, 2, 1), 128 / 255), atol=1e-4)


def test_statistics_are_saved_and_loaded(tmp_path):
    statistics = fit_statistics(correlated_images(50), max_components=3)
    path = str(tmp_path / "statistics.npz")
    assert load_statistics(path) is None
    save_statistics(statistics, path)
    loaded = load_statistics(path)
    np.testing.assert_array_equal(loaded.components, statistics.components)
    assert loaded.residual_variance == statistics.residual_variance
    assert loaded.mixture is None
    with_mixture = statistics.with_mixture(correlated_images(50), sigma=0.1)
    save_statistics(with_mixture, path)
    loaded = load_statistics(path)
    for name, array in vars(with_mixture.mixture).items():
        np.testing.assert_array_equal(getattr(loaded.mixture, name), array)
    np.testing.assert_array_equal(loaded.mean, statistics.mean)
    content = (tmp_path / "statistics.npz").read_bytes()
    (tmp_path / "statistics.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(RunError, match=r"statistics\.npz cannot be read"):
        load_statistics(path)
