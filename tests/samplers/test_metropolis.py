"""MALA and HMC: exact distributions for large steps, acceptance rates."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.helpers.metropolis_targets import (
    KINDS,
    MIDDLE,
    PRECISION,
    SHAPE,
    accepted_fractions,
    advance,
    gaussian,
    int_seeds,
    sampler,
)
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import LinearOperator
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.conditioning import KnownPixels
from tf_mdsm.samplers.metropolis import MetropolisLangevin
from tf_mdsm.samplers.starts import isotropic_start


def assert_moments(samples, mean, covariance):
    """Requires mean and covariance of samples [N, d], within five standard deviations."""
    spread, count = np.sqrt(np.diag(covariance)), len(samples)
    assert np.abs((samples.mean(0) - mean) / spread).max() < 5 / np.sqrt(count)
    errors = (np.cov(samples.T) - covariance) / np.outer(spread, spread)
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count), errors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distribution_is_exact_for_large_steps(kind, temperature):
    """The covariance is T PRECISION^-1; without the Metropolis test it would be far from it."""
    count, step_size = 500, 0.9
    built = sampler(kind, temperature=temperature, step_size=step_size * np.sqrt(temperature))
    start = MIDDLE + 2 * tf.random.stateless_normal((count, *SHAPE), [1, 2])
    sampled = advance(built, start, int_seeds(count)).reshape(count, 4)
    assert_moments(sampled, MIDDLE, temperature * np.linalg.inv(PRECISION.astype(float)))
    stiffest = np.linalg.eigvalsh(PRECISION).max()
    assert 1 / (1 - step_size**2 * stiffest / 4) > 2 or step_size**2 * stiffest > 4


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_two_modes_are_sampled(kind):
    """Modes at -1 and 1 of weights 0.3 and 0.7; 2.3 % of each are beyond the middle."""
    weights, means, std = tf.constant([0.3, 0.7]), tf.constant([-1.0, 1.0]), 0.5

    def mixture(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_terms = -((x - means) ** 2) / (2 * std**2) + tf.math.log(weights)
            energy = -tf.reduce_logsumexp(log_terms, axis=(1, 2, 3))
        return energy, -tape.gradient(energy, x)

    count = 500
    built = sampler(kind, mixture, steps=30, step_size=0.7)
    start = isotropic_start((1, 1, 1))(int_seeds(count))
    sampled = advance(built, start, int_seeds(count))
    expected = 0.7 * 0.97725 + 0.3 * 0.02275
    assert np.mean(sampled > 0) == pytest.approx(expected, abs=5 * np.sqrt(0.21 / count))


def test_acceptance_rate_agrees_with_theory():
    """MALA on N(0, I) in d dimensions accepts 2 Phi(-l^3 / 8) of moves of size l d^(-1/6).

    Source: Roberts and Rosenthal, "Optimal scaling of discrete approximations to Langevin
    diffusions" (1998), theorem 1, with K = 1/4 for a Gaussian.
    """
    shape, count, length = (8, 8, 16), 100, 1.5
    size = int(np.prod(shape))

    def unit(x):
        return tf.reduce_sum(x**2, (1, 2, 3)) / 2, -x

    step_size = length * size ** (-1 / 6)
    built = sampler("mala", unit, step_size=step_size, moves=4)
    images = tf.random.stateless_normal((count, *shape), [3, 4])
    accepted = accepted_fractions(built, images, int_seeds(count)).mean()
    expected = 2 * float(tfp.distributions.Normal(0.0, 1.0).cdf(-(length**3) / 8))
    # Three of four moves start where another ended, and the theorem is about the limit of many
    # dimensions: hence the additional tolerance.
    assert accepted == pytest.approx(expected, abs=5 * np.sqrt(0.25 / count) + 0.02)


def test_hmc_with_one_leapfrog_step_is_mala():
    """Its mean acceptance rate from the same images is the same."""
    count = 1_000
    images = MIDDLE + 0.7 * tf.random.stateless_normal((count, *SHAPE), [5, 6])
    one = sampler("hmc", leapfrog_steps=1, step_size=0.8)
    accepted = [
        accepted_fractions(built, images, int_seeds(count)).mean()
        for built in (one, sampler("mala", step_size=0.8))
    ]
    assert accepted[0] == pytest.approx(accepted[1], abs=5 * np.sqrt(2 * 0.25 / count))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("errors_about", ["pixels", "measurement"])
def test_unknown_pixels_have_the_conditional_distribution(kind, errors_about):
    """Given two pixels without noise (sigma0 = 0), the others are Gaussian."""
    count, unknown, known_indices = 500, [1, 2], [0, 3]
    images = tf.tile(tf.reshape(tf.constant([0.9, 0.0, 0.0, 0.2]), [1, 2, 2, 1]), [count, 1, 1, 1])
    mask = np.zeros((count, *SHAPE), np.float32)
    mask.reshape(count, 4)[:, known_indices] = 1
    if errors_about == "pixels":
        known = KnownPixels(images, tf.constant(mask), int_seeds(count))
    else:
        values = tf.gather(tf.reshape(images, [-1, 4]), known_indices, axis=1)
        known = KnownMeasurement(TwoCorners(), values, int_seeds(count))
    built = sampler(kind, step_size=0.8, sigma0=0.0)
    sampled = (
        tf.function(lambda: built.sample_given(known), autograph=False)().numpy().reshape(count, 4)
    )
    np.testing.assert_allclose(sampled[:, known_indices], [[0.9, 0.2]] * count, atol=1e-6)
    inner = PRECISION[np.ix_(unknown, unknown)].astype(float)
    pull = PRECISION[np.ix_(unknown, known_indices)] @ [0.4, -0.3]
    assert_moments(sampled[:, unknown], MIDDLE - np.linalg.solve(inner, pull), np.linalg.inv(inner))


class TwoCorners(LinearOperator):
    """Measures the upper left and the lower right pixel."""

    def measure(self, images):
        return tf.gather(tf.reshape(images, [-1, 4]), [0, 3], axis=1)

    def adjoint(self, values):
        zeros = tf.zeros_like(values[:, 0])
        flat = tf.stack([values[:, 0], zeros, zeros, values[:, 1]], 1)
        return tf.reshape(flat, [-1, *SHAPE])


@pytest.mark.parametrize(
    ("temperatures", "step_sizes"),
    [([1, 2], [1, 1]), ([1, 0], [1, 1]), ([np.nan, 1], [1, 1]), ([1, 1], [1, 0]), ([1, 1], [1])],
)
def test_wrong_schedules_are_refused(temperatures, step_sizes):
    arrays = np.array(temperatures, np.float32), np.array(step_sizes, np.float32)
    with pytest.raises(InvalidArgument, match=r"temperatures|step_sizes"):
        MetropolisLangevin(gaussian, isotropic_start(SHAPE), *arrays, 1, 0.1)


def test_the_final_image_is_denoised():
    built = sampler("mala", steps=2)
    chain = compile_chain(built, 1)(range(4))
    expected = chain.states[-2] + 0.01 * gaussian(chain.states[-2])[1].numpy()
    np.testing.assert_allclose(chain.images, expected, rtol=1e-5)
