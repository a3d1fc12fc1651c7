"""Mixtures of Gaussians of images: fits to images whose mixture is known."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from tf_mdsm.datasets.image_mixture import fit_mixture, load_mixture, save_mixture
from tf_mdsm.datasets.image_statistics import fit_statistics
from tf_mdsm.errors import RunError

SHAPE = (3, 4, 1)
# Three groups of images: shares, and standard deviations around their centres.
SHARES, STDS = (0.2, 0.3, 0.5), (0.02, 0.05, 0.03)


def grouped_images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images in [0, 1], the group of each, and the groups' centres [3, H, W, C]."""
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(5).uniform(0.2, 0.8, (3, *SHAPE))
    groups = random.choice(3, count, p=SHARES)
    noise = random.normal(size=(count, *SHAPE)) * np.array(STDS)[groups, None, None, None]
    return np.float32(centers[groups] + noise), groups, centers


@pytest.fixture(scope="module")
def fitted():
    images, groups, centers = grouped_images(4_000)
    mixture = fit_mixture(
        images, fit_statistics(images), sigma=0.02, numbers=(1, 3, 40), ranks=(2, 4)
    )
    return mixture, images, groups, centers


def test_held_out_likelihood_finds_the_number_of_groups(fitted):
    mixture, _, _, centers = fitted
    assert len(mixture.weights) == 3
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-6)
    order = [
        np.argmin([((mixture_center - c) ** 2).sum() for c in centers])
        for mixture_center in mixture.mean + np.tensordot(mixture.centers, mixture.components, 1)
    ]
    assert sorted(order) == [0, 1, 2]
    # Shares of 3,600 images, within five standard errors; centres likewise.
    np.testing.assert_allclose(mixture.weights, np.array(SHARES)[order], atol=5 * 0.5 / 60)
    found = mixture.mean + np.tensordot(mixture.centers, mixture.components, 1)
    np.testing.assert_allclose(found, centers[order], atol=5 * 0.05 / np.sqrt(0.2 * 3_600))
    variances = np.array(STDS)[order] ** 2
    np.testing.assert_allclose(mixture.residual_variances, variances, rtol=0.1)
    traces = np.trace(mixture.covariances, axis1=1, axis2=2) / len(mixture.components)
    np.testing.assert_allclose(traces, variances, rtol=0.2)


def test_the_log_density_is_that_of_the_normal_distributions(fitted):
    mixture, images, *_ = fitted
    flat, size, sigma = images[:50].reshape(50, -1).astype(np.float64), 12, 0.1
    directions = mixture.components.reshape(-1, size).astype(np.float64)
    total = 0.0
    for weight, center, covariance, residual in zip(
        mixture.weights,
        mixture.centers,
        mixture.covariances,
        mixture.residual_variances,
        strict=True,
    ):
        full = directions.T @ covariance @ directions + sigma**2 * np.eye(size)
        full += residual * (np.eye(size) - directions.T @ directions)
        normal = stats.multivariate_normal(mixture.mean.ravel() + center @ directions, full)
        total += weight * normal.pdf(flat)
    coordinates = (flat - mixture.mean.ravel()) @ directions.T
    residuals = ((flat - mixture.mean.ravel()) ** 2).sum(1) - (coordinates**2).sum(1)
    logs = mixture.log_density(coordinates, residuals, sigma)
    np.testing.assert_allclose(logs, np.log(total), rtol=1e-4)


def test_more_gaussians_than_the_images_allow_are_not_tried():
    images, *_ = grouped_images(60)
    mixture = fit_mixture(images, fit_statistics(images), sigma=0.1, numbers=(1, 5), ranks=(40,))
    assert len(mixture.weights) == 1
    assert len(mixture.components) == 12


def test_equal_images_have_a_mixture():
    images = np.full((120, *SHAPE), 128, np.uint8)
    mixture = fit_mixture(images, fit_statistics(images), sigma=0.5)
    assert all(np.isfinite(array).all() for array in dataclasses.asdict(mixture).values())
    np.testing.assert_allclose(mixture.mean, 128 / 255, atol=1e-6)


def test_a_mixture_is_saved_and_loaded(fitted, tmp_path):
    mixture, *_ = fitted
    path = str(tmp_path / "mixture.npz")
    assert load_mixture(path) is None
    save_mixture(mixture, path)
    loaded = load_mixture(path)
    for name, array in dataclasses.asdict(mixture).items():
        np.testing.assert_array_equal(getattr(loaded, name), array)
    (tmp_path / "mixture.npz").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"mixture\.npz cannot be read"):
        load_mixture(path)
