"""The density of the probability flow: closed forms, probes, forward and backward."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tests.helpers.flat_gaussian import FlatGaussian
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.chain_bound import NoisyGuesses, log_normal_density
from tf_mdsm.evaluation.likelihood.flow import FlowBound, FlowDensity
from tf_mdsm.evaluation.likelihood.pixel_decoder import PixelDecoder
from tf_mdsm.evaluation.likelihood.start_density import StartDensity
from tf_mdsm.samplers.starts import IsotropicStart

SIGMA0, SIGMA_MIN, SIGMA_MAX = 0.1, 0.1, 3.0


class QuadraticEnergy:
    """E = (x - 1/2)' A (x - 1/2) / (2 sigma0^2), so that the flow is dx/ds = A (x - 1/2)."""

    def __init__(self, matrix: np.ndarray):
        self.matrix = tf.constant(matrix, tf.float32)

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        offset = tf.reshape(images - 0.5, [tf.shape(images)[0], -1])
        pull = tf.matmul(offset, self.matrix) / SIGMA0**2
        return 0.5 * tf.reduce_sum(offset * pull, 1), -tf.reshape(pull, tf.shape(images))


def scaled(size: int, rate: float) -> QuadraticEnergy:
    return QuadraticEnergy(rate * np.eye(size))


def flow(energy, shape, **options) -> FlowDensity:
    density = StartDensity(IsotropicStart(SIGMA_MAX), shape)
    options = {"num_probes": 1, "tolerance": 1e-5, **options}
    return FlowDensity(energy, density, shape, sigma0=SIGMA0, sigma_min=SIGMA_MIN, **options)


@pytest.mark.parametrize("shape", [(1, 2, 1), (8, 8, 1), (32, 32, 1)])
def test_an_isotropic_flow(shape):
    """x(S) - 1/2 = (sigma_max / sigma_min)^a (z - 1/2): z is Gaussian. Every probe is exact."""
    rate, size = 0.7, math.prod(shape)
    noisy = 0.5 + 0.3 * np.random.default_rng(0).standard_normal((6, *shape))
    found = flow(scaled(size, rate), shape).of(noisy, np.arange(6))
    std = SIGMA_MAX * (SIGMA_MIN / SIGMA_MAX) ** rate
    expected = stats.norm(0.5, std).logpdf(noisy).sum(axis=(1, 2, 3))
    # A log density has 100 times the tolerance in a step, and float32 in the field.
    np.testing.assert_allclose(found.log_density, expected, rtol=1e-6, atol=1e-2)
    assert found.evaluations < 200


def test_a_start_is_found_again_from_its_image():
    """Backward and forward: the same point, and one density."""
    matrix = np.array([[0.5, 0.2], [0.2, 0.9]])
    density = flow(QuadraticEnergy(matrix), (1, 2, 1), num_probes=0)
    starts = 0.5 + SIGMA_MAX * np.random.default_rng(0).standard_normal((5, 1, 2, 1))
    drawn = density.sample(starts, np.arange(5))
    again = density.of(drawn.ends, np.arange(5))
    np.testing.assert_allclose(again.ends, starts, atol=1e-3)
    np.testing.assert_allclose(again.log_density, drawn.log_density, atol=1e-3)
    # The covariance at sigma_min is sigma_max^2 exp(-2 A S).
    values, vectors = np.linalg.eigh(matrix)
    spread = (SIGMA_MIN / SIGMA_MAX) ** (2 * values)
    covariance = SIGMA_MAX**2 * (vectors * spread) @ vectors.T
    expected = stats.multivariate_normal([0.5, 0.5], covariance).logpdf(drawn.ends.reshape(5, 2))
    np.testing.assert_allclose(drawn.log_density, expected, atol=2e-3)


def test_probes_scatter_around_the_exact_laplacian():
    """With off-diagonal curvature. The error that the probes report is that of their mean."""
    random = np.random.default_rng(5)
    root = random.normal(size=(16, 16)) / 16
    energy = QuadraticEnergy(0.5 * np.eye(16) + root @ root.T)
    noisy = 0.5 + 0.3 * random.standard_normal((8, 4, 4, 1))
    exact = flow(energy, (4, 4, 1), num_probes=0).of(noisy, np.arange(8))
    assert exact.by_probe.shape == (8, 1)
    np.testing.assert_array_equal(exact.probe_error, 0)
    several = flow(energy, (4, 4, 1), num_probes=30).of(noisy, np.arange(8))
    assert several.by_probe.shape == (8, 30)
    difference = several.log_density - exact.log_density
    assert np.ptp(several.by_probe, axis=1).min() > 0.1
    assert (np.abs(difference) < 5 * several.probe_error + 1e-3).all()
    one = flow(energy, (4, 4, 1)).of(noisy, np.arange(8))
    assert np.isnan(one.probe_error).all()


def test_probes_follow_from_the_seed_of_the_image():
    energy = QuadraticEnergy(np.array([[0.5, 0.4], [0.4, 0.9]]))
    density = flow(energy, (1, 2, 1))
    noisy = np.full((3, 1, 2, 1), 0.4)
    first = density.of(noisy, np.array([5, 6, 7])).log_density
    alone = density.of(noisy[:1], np.array([7])).log_density
    assert alone[0] == pytest.approx(first[2], abs=1e-3)
    assert (
        len({round(float(value), 3) for value in density.of(noisy, np.arange(3)).log_density}) > 1
    )


def test_the_bound_of_a_gaussian():
    """Above the truth, and near it for a denoiser that fits; it need not be that of an energy."""
    gaussian = FlatGaussian((8, 8, 1), 4)

    class Denoising:
        """The field (D(x) - x) / sigma0^2 in place of a score."""

        def energy_and_score(self, images):
            return tf.zeros(tf.shape(images)[:1]), (gaussian.denoise(images) - images) / SIGMA0**2

    images, seeds = gaussian.images(64), np.arange(64)
    density = StartDensity(gaussian.start(SIGMA_MAX), gaussian.shape)
    solved = FlowDensity(
        Denoising(),
        density,
        gaussian.shape,
        sigma0=SIGMA0,
        sigma_min=gaussian.narrow,
        num_probes=0,
        tolerance=1e-4,
    )
    guesses = NoisyGuesses(gaussian.denoise, gaussian.shape)
    # The decoder's own deviation: half of the noise is removed where image and noise are alike.
    decoder = PixelDecoder(np.array([gaussian.narrow / 2**0.5]), np.ones((1, 1)), None)
    terms = FlowBound(guesses, solved, decoder).terms(images, seeds)
    gap = terms.total - gaussian.nats(images)
    assert gap.mean() > -4 * gap.std() / 8
    # A tenth of a bit a value: noise and narrow values are alike, and of one size at the end.
    assert gap.mean() / 64 < 0.1 * math.log(2)
    np.testing.assert_array_equal(terms.probe_error, 0)
    assert (terms.evaluations == terms.evaluations[0]).all()
    noisy, _ = guesses.at_level(images, gaussian.narrow, 0, seeds)
    expected = log_normal_density(noisy, images, gaussian.narrow)
    found = solved.of(noisy, seeds).log_density
    np.testing.assert_allclose(terms.noisy, expected - found, atol=1e-6)


def test_a_field_that_is_not_finite():
    class Broken:
        def energy_and_score(self, images):
            return tf.zeros(tf.shape(images)[:1]), images / 0.0

    with pytest.raises(RunError, match="the probability flow is not finite"):
        flow(Broken(), (1, 2, 1)).of(np.ones((1, 1, 2, 1)), np.arange(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, "`tolerance` must be positive"),
        ({"num_probes": -1}, "`num_probes` must not be negative"),
    ],
)
def test_settings_that_do_not_fit(options, message):
    with pytest.raises(InvalidArgument, match=message):
        flow(scaled(2, 0.5), (1, 2, 1), **options)


def test_a_flow_needs_noise_below_that_of_its_start():
    density = StartDensity(IsotropicStart(0.1), (1, 2, 1))
    for sigma_min in (0.0, 0.1, 0.2):
        with pytest.raises(InvalidArgument, match="`sigma_min` must lie between 0"):
            FlowDensity(
                scaled(2, 0.5), density, (1, 2, 1), sigma0=0.1, sigma_min=sigma_min, num_probes=1
            )
