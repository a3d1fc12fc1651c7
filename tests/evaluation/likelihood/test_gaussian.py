"""The Gaussian reference: its density, its score and its samples."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.datasets.image_statistics import fit_statistics
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.gaussian import GaussianReference, isotropic_reference


def test_the_reference_has_the_density_of_its_gaussian():
    """Energy and score of the images' Gaussian, with all components and with four of nine."""
    images = np.random.default_rng(0).uniform(size=(60, 3, 3, 1)).astype(np.float32)
    for kept in (9, 4):
        statistics = fit_statistics(images, max_components=kept)
        components = statistics.components.reshape(kept, 9).astype(float)
        residual = statistics.residual_variance
        covariance = (components.T * (statistics.variances - residual)) @ components
        covariance += (residual + 0.04) * np.eye(9)
        reference = GaussianReference(**vars(statistics), sigma=0.2)
        energy, score = reference.energy_and_score(tf.constant(images))
        offset = images.reshape(-1, 9) - statistics.mean.reshape(9)
        solved = np.linalg.solve(covariance, offset.T).T
        _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
        expected = ((offset * solved).sum(1) + log_determinant) / 2
        np.testing.assert_allclose(energy, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(score.numpy().reshape(-1, 9), -solved, rtol=1e-3, atol=1e-3)
        assert reference.smallest_std <= np.sqrt(np.linalg.eigvalsh(covariance)[0]) + 1e-4


def test_samples_have_the_mean_energy_of_their_gaussian():
    """-log density of samples: the entropy d/2 (1 + log 2 pi s^2), with variance d / 2."""
    std, size, count = 0.7, 6, 2_000
    reference = isotropic_reference((1, 2, 3), mean=0.3, sigma=std)
    assert reference.image_shape == (1, 2, 3)
    assert reference.smallest_std == pytest.approx(std)
    samples = reference.sample(tf.range(count, dtype=tf.int64))
    energies, scores = reference.energy_and_score(samples)
    entropy = size / 2 * (1 + np.log(2 * np.pi * std**2))
    assert energies.numpy().mean() == pytest.approx(entropy, abs=5 * (size / 2 / count) ** 0.5)
    np.testing.assert_allclose(scores, (0.3 - samples) / std**2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sigma", [0.0, np.nan, np.inf])
def test_a_reference_without_width_is_refused(sigma):
    with pytest.raises(InvalidArgument, match="`sigma` must make the reference wider than 0"):
        isotropic_reference((1, 1, 1), sigma=sigma)
