"""Mixtures of Gaussians of images: fits to images whose mixture is known."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_mdsm.datasets import image_mixture
from tf_mdsm.datasets.image_mixture import fit_mixture
from tf_mdsm.datasets.image_statistics import fit_statistics
from tf_mdsm.runs.build_method import mixture_start

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
    images, _, centers = grouped_images(4_000)
    statistics = fit_statistics(images)
    mixture = fit_mixture(
        images,
        statistics.mean,
        statistics.components,
        sigma=0.02,
        numbers=(1, 3, 40),
        ranks=(2, 4),
    )
    return mixture, statistics, images, centers


def test_held_out_likelihood_finds_the_number_of_groups(fitted):
    mixture, statistics, _, centers = fitted
    components = statistics.components[: mixture.rank]
    assert len(mixture.weights) == 3
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-6)
    found = statistics.mean + np.tensordot(mixture.centers, components, 1)
    order = [np.argmin(((center - centers) ** 2).sum((1, 2, 3))) for center in found]
    assert sorted(order) == [0, 1, 2]
    # Shares of 3,600 images, within five standard errors; centres likewise.
    np.testing.assert_allclose(mixture.weights, np.array(SHARES)[order], atol=5 * 0.5 / 60)
    np.testing.assert_allclose(found, centers[order], atol=5 * 0.05 / np.sqrt(0.2 * 3_600))
    variances = np.array(STDS)[order] ** 2
    np.testing.assert_allclose(mixture.residual_variances, variances, rtol=0.1)
    traces = np.trace(mixture.covariances, axis1=1, axis2=2) / mixture.rank
    np.testing.assert_allclose(traces, variances, rtol=0.2)


def test_the_log_density_is_that_of_the_normal_distributions(fitted):
    mixture, statistics, images, _ = fitted
    mean = statistics.mean.ravel().astype(np.float64)
    flat, size, sigma = images[:50].reshape(50, -1).astype(np.float64), 12, 0.1
    directions = statistics.components[: mixture.rank].reshape(-1, size).astype(np.float64)
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
        normal = stats.multivariate_normal(mean + center @ directions, full)
        total += weight * normal.pdf(flat)
    coordinates = (flat - mean) @ directions.T
    residuals = ((flat - mean) ** 2).sum(1) - (coordinates**2).sum(1)
    logs = mixture.log_density(coordinates, residuals, size=size, sigma=sigma)
    np.testing.assert_allclose(logs, np.log(total), rtol=1e-4)


def test_images_belong_to_the_gaussian_of_their_group(fitted):
    """The groups lie far apart."""
    mixture, statistics, _, centers = fitted
    images, groups, _ = grouped_images(300, seed=1)
    components = statistics.components
    found = mixture.gaussians_of(images, statistics.mean, components)
    leading = components[: mixture.rank]
    means = statistics.mean + np.tensordot(mixture.centers, leading, 1)
    order = [np.argmin(((mean - centers) ** 2).sum((1, 2, 3))) for mean in means]
    np.testing.assert_array_equal(np.array(order)[found], groups)


def test_more_gaussians_than_the_images_allow_are_not_tried():
    images, *_ = grouped_images(60)
    statistics = fit_statistics(images)
    mixture = fit_mixture(
        images, statistics.mean, statistics.components, sigma=0.1, numbers=(1, 5), ranks=(40,)
    )
    assert len(mixture.weights) == 1
    assert mixture.rank == 12


@pytest.mark.parametrize("count", [1, 2, 9, 10, 120])
@pytest.mark.parametrize("shape", [SHAPE, (65, 64, 1)])
def test_equal_images_have_a_mixture(count, shape):
    """Also one image, which is equal to itself. Large ones have no component at all."""
    images = np.full((count, *shape), 128, np.uint8)
    statistics = fit_statistics(images).with_mixture(images, sigma=0.5)
    mixture = statistics.mixture
    assert all(np.isfinite(array).all() for array in dataclasses.asdict(mixture).values())
    np.testing.assert_allclose(mixture.weights, 1, atol=1e-6)
    np.testing.assert_allclose(mixture.covariances, 0, atol=1e-6)
    start = mixture_start(statistics, mixture, sigma=0.5)
    spread = start.noisy_images(tf.range(200, dtype=tf.int64), shape) - 128 / 255
    assert np.std(spread) == pytest.approx(0.5, rel=5 / np.sqrt(2 * tf.size(spread).numpy()))


@pytest.mark.parametrize("count", [2, 9, 10, 60])
def test_few_images_have_one_gaussian(count):
    """Its mean is theirs."""
    images, *_ = grouped_images(count)
    statistics = fit_statistics(images)
    mixture = statistics.with_mixture(images, sigma=0.5).mixture
    assert len(mixture.weights) == 1
    used = images[np.arange(count) % 10 != 9]
    center = statistics.mean + np.tensordot(
        mixture.centers[0], statistics.components[: mixture.rank], 1
    )
    along = (used.mean(axis=0) - center).ravel() @ statistics.components[0].ravel()
    assert along == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("count", [80, 100, 101, 150])
def test_of_many_images_evenly_spaced_ones_are_used(count, monkeypatch):
    """As many as allowed, whatever their number is: here at most 100."""
    seen, true_project = [], image_mixture._project

    def project(images, places, mean, components):
        seen.extend(places)
        return true_project(images, places, mean, components)

    monkeypatch.setattr(image_mixture, "_MAX_IMAGES", 100)
    monkeypatch.setattr(image_mixture, "_project", project)
    images, *_ = grouped_images(count)
    fit_statistics(images).with_mixture(images, sigma=0.5)
    assert len(seen) == min(count, 100)
    assert seen[0] == 0
    assert seen[-1] >= count - 2
    assert set(np.diff(seen)) <= {1, 2}
