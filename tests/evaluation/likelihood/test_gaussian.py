"""The Gaussian reference: its density, its score and its samples."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tests.helpers.annealing import EVERYWHERE
from tf_mdsm.datasets.image_statistics import fit_statistics
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.domain import Domain
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
        reference = GaussianReference(**statistics.gaussian(), sigma=0.2, domain=EVERYWHERE)
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
    reference = isotropic_reference((1, 2, 3), mean=0.3, sigma=std, domain=EVERYWHERE)
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
        isotropic_reference((1, 1, 1), sigma=sigma, domain=EVERYWHERE)


def test_independent_pixels_are_truncated_normal():
    """Their mass is a product of error functions, and their samples those of scipy's law."""
    mean, std, shape, count = 0.2, 0.6, (2, 3, 1), 1_000
    reference = isotropic_reference(shape, mean=mean, sigma=std, domain=Domain(0.1))
    low, high = (-0.1 - mean) / std, (1.1 - mean) / std
    mass = (special.erf(high / 2**0.5) - special.erf(low / 2**0.5)) / 2
    assert reference.log_mass.value == pytest.approx(6 * np.log(mass), rel=1e-6)
    assert reference.log_mass.low == reference.log_mass.value == reference.log_mass.high
    samples = reference.sample(tf.range(count, dtype=tf.int64)).numpy()
    law = stats.truncnorm(low, high, mean, std)
    assert stats.kstest(samples.ravel(), law.cdf).pvalue > 1e-4
    np.testing.assert_array_equal(reference.sample(tf.constant([7], tf.int64)), samples[[7]])


def correlated_reference(domain: Domain) -> GaussianReference:
    """Two pixels with means 0.7, standard deviations 0.5 and correlation 0.8."""
    diagonal = np.float32([[1, 1]]).reshape(1, 1, 2, 1) / np.float32(2**0.5)
    return GaussianReference(
        mean=np.full((1, 2, 1), 0.7, np.float32),
        components=diagonal,
        variances=np.array([0.25 * 1.8]),
        residual_variance=0.25 * 0.2,
        sigma=0.0,
        domain=domain,
    )


def test_correlated_pixels_are_truncated_as_whole_images():
    """The mass is that of scipy's bivariate law, within its interval; no sample lies outside."""
    reference = correlated_reference(Domain(0.2))
    covariance = 0.25 * np.array([[1, 0.8], [0.8, 1]])
    law = stats.multivariate_normal([0.7, 0.7], covariance)
    corners = {(low, high): law.cdf([low, high]) for low in (-0.2, 1.2) for high in (-0.2, 1.2)}
    mass = corners[1.2, 1.2] - corners[-0.2, 1.2] - corners[1.2, -0.2] + corners[-0.2, -0.2]
    log_mass = reference.log_mass
    assert log_mass.low < np.log(mass) < log_mass.high < log_mass.low + 0.05
    assert log_mass.value == pytest.approx(np.log(mass), abs=4 * log_mass.error)
    count = 2_000
    samples = reference.sample(tf.range(count, dtype=tf.int64)).numpy().reshape(count, 2)
    assert samples.min() >= -0.2
    assert samples.max() <= 1.2
    # Refused by the same rule, samples of the whole Gaussian have the same law.
    whole = law.rvs(6_000, random_state=0)
    whole = whole[((whole >= -0.2) & (whole <= 1.2)).all(1)]
    for values, expected in ((samples[:, 0], whole[:, 0]), (samples.sum(1), whole.sum(1))):
        assert stats.ks_2samp(values, expected).pvalue > 1e-4


def test_a_domain_that_holds_too_little_of_the_reference_is_refused():
    with pytest.raises(InvalidArgument, match=r"`domain_margin` must be so wide .* 0\.4 % inside"):
        isotropic_reference((1, 1, 1), sigma=100.0, domain=Domain(0.0))
