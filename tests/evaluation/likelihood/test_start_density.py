"""Densities of starts against SciPy's Gaussians."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.start_density import StartDensity
from tf_mdsm.samplers.starts import GaussianStart, ImagesStart, IsotropicStart, MixtureStart

SHAPE = (2, 3, 2)
SIZE = 12


def orthonormal(rank: int) -> np.ndarray:
    random = np.random.default_rng(3)
    directions, _ = np.linalg.qr(random.normal(size=(SIZE, SIZE)))
    return directions[:rank].astype(np.float32)


def mixture(sigma: float) -> MixtureStart:
    random = np.random.default_rng(4)
    factors = random.normal(size=(3, 2, 2))
    return MixtureStart(
        weights=np.array([0.2, 0.3, 0.5]),
        mean=random.normal(size=SHAPE),
        components=orthonormal(2).reshape(2, *SHAPE),
        centers=random.normal(size=(3, 2)),
        covariances=factors @ factors.transpose(0, 2, 1),
        residual_variances=np.array([0.1, 0.2, 0.3]),
        sigma=sigma,
    )


@pytest.mark.parametrize("sigma", [0.1, 3.0])
def test_an_isotropic_start(sigma):
    images = np.random.default_rng(0).normal(size=(5, *SHAPE))
    found = StartDensity(IsotropicStart(sigma), SHAPE).log_density(images)
    expected = stats.norm(0.5, sigma).logpdf(images).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("rank", [0, 3, SIZE])
def test_a_gaussian_start(rank):
    random = np.random.default_rng(1)
    directions, variances = orthonormal(rank), np.linspace(2, 1, rank).astype(np.float32)
    start = GaussianStart(
        random.normal(size=SHAPE),
        directions.reshape(rank, *SHAPE),
        variances,
        residual_variance=0.25,
        sigma=0.7,
    )
    images = random.normal(size=(6, *SHAPE))
    covariance = (directions.T * (variances - 0.25)) @ directions + (0.25 + 0.49) * np.eye(SIZE)
    expected = stats.multivariate_normal(start.mean.ravel(), covariance).logpdf(
        images.reshape(6, SIZE)
    )
    found = StartDensity(start, SHAPE).log_density(images)
    # The start holds float32, of which directions are orthonormal within 1e-7.
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_mixture_start():
    start = mixture(sigma=0.4)
    images = np.random.default_rng(2).normal(size=(7, *SHAPE))
    directions = start.components.reshape(2, SIZE).astype(np.float64)
    across = np.eye(SIZE) - directions.T @ directions
    logs = []
    for k in range(3):
        center = start.mean.ravel() + start.centers[k] @ directions
        covariance = directions.T @ start.covariances[k] @ directions
        covariance = covariance + start.residual_variances[k] * across + 0.16 * np.eye(SIZE)
        gaussian = stats.multivariate_normal(center, covariance)
        logs.append(np.log(start.weights[k]) + gaussian.logpdf(images.reshape(7, SIZE)))
    found = StartDensity(start, SHAPE).log_density(images)
    np.testing.assert_allclose(found, special.logsumexp(logs, axis=0), rtol=1e-5)


def test_it_is_the_density_of_the_starts_own_images():
    """Importance weights of a wider Gaussian's images have the mean 1, also under the start."""
    start = mixture(sigma=1.0)
    drawn = start.noisy_images(tf.range(4_000, dtype=tf.int64), SHAPE).numpy()
    log_density = StartDensity(start, SHAPE).log_density(drawn)
    wide = stats.multivariate_normal(drawn.reshape(-1, SIZE).mean(0), 1.5 * np.eye(SIZE))
    # E over the start of wide / start is 1.
    ratio = np.exp(wide.logpdf(drawn.reshape(-1, SIZE)) - log_density)
    assert abs(ratio.mean() - 1) < 5 * ratio.std() / 4_000**0.5


def test_starts_without_a_density_are_refused():
    images = ImagesStart(np.zeros((1, *SHAPE)), 1.0)
    with pytest.raises(InvalidArgument, match="`start` must be isotropic, gaussian or mixture"):
        StartDensity(images, SHAPE)
    with pytest.raises(InvalidArgument, match="`sigma` must be positive"):
        StartDensity(IsotropicStart(0.0), SHAPE)
