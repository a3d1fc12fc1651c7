"""MALA and HMC once more: many dimensions, two modes, known measurements."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tests.helpers.metropolis_targets import (
    KINDS,
    KNOWN,
    KNOWN_VALUES,
    MIDDLE,
    POSITIVE_OF_TWO_MODES,
    SHAPE,
    UNKNOWN,
    accepted_fractions,
    advance,
    assert_moments,
    conditional_moments,
    int_seeds,
    method,
    target,
    two_modes,
)
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.restoration.operators import LinearOperator
from tf_mdsm.samplers.starts import IsotropicStart


def test_acceptance_rate_of_mala_in_many_dimensions():
    """On N(0, I) in d dimensions it is 2 Phi(-l^3 / 8) for steps of size l d^(-1/6).

    Source: Roberts and Rosenthal, "Optimal scaling of discrete approximations to Langevin
    diffusions" (1998), theorem 1, with K = 1/4 for a Gaussian.
    """
    shape, count, length = (8, 8, 16), 100, 1.5
    size = int(np.prod(shape))

    def unit(x):
        return tf.reduce_sum(x**2, (1, 2, 3)) / 2, -x

    built = method("mala", step_size=length * size ** (-1 / 6), moves=4)
    images = tf.random.stateless_normal((count, *shape), [3, 4])
    accepted = accepted_fractions(target(unit, shape=shape), built, images, int_seeds(count)).mean()
    expected = 2 * float(tfp.distributions.Normal(0.0, 1.0).cdf(-(length**3) / 8))
    # Three of four moves start where another ended, and the theorem is about the limit of many
    # dimensions: hence the additional tolerance.
    assert accepted == pytest.approx(expected, abs=5 * np.sqrt(0.25 / count) + 0.02)


def test_hmc_with_one_leapfrog_step_is_mala():
    """Its mean acceptance rate from the same images is the same."""
    count = 1_000
    images = MIDDLE + 0.7 * tf.random.stateless_normal((count, *SHAPE), [5, 6])
    one = method("hmc", leapfrog_steps=1, step_size=0.8)
    accepted = [
        accepted_fractions(target(), built, images, int_seeds(count)).mean()
        for built in (one, method("mala", step_size=0.8))
    ]
    assert accepted[0] == pytest.approx(accepted[1], abs=5 * np.sqrt(2 * 0.25 / count))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_two_modes_are_sampled(kind):
    count = 500
    start = IsotropicStart().noisy_images(int_seeds(count), (1, 1, 1))
    modes = target(two_modes, shape=(1, 1, 1))
    built = method(kind, steps=30, step_size=0.7)
    sampled = advance(modes, built, start, int_seeds(count))
    error = np.sqrt(0.21 / count)
    assert np.mean(sampled > 0) == pytest.approx(POSITIVE_OF_TWO_MODES, abs=5 * error)


class TwoCorners(LinearOperator):
    """Measures the upper left and the lower right pixel."""

    def measure(self, images):
        return tf.gather(tf.reshape(images, [-1, 4]), KNOWN, axis=1)

    def adjoint(self, values):
        zeros = tf.zeros_like(values[:, 0])
        flat = tf.stack([values[:, 0], zeros, zeros, values[:, 1]], 1)
        return tf.reshape(flat, [-1, *SHAPE])


@pytest.mark.parametrize("kind", KINDS)
def test_given_a_measurement_the_rest_has_the_conditional_distribution(kind):
    """The measurement is of two pixels, without noise (sigma0 = 0); the others are Gaussian."""
    count = 500
    values = tf.constant(np.tile(KNOWN_VALUES, (count, 1)))
    known = KnownMeasurement(TwoCorners(), values, int_seeds(count))
    built = method(kind, step_size=0.8)
    sample = tf.function(lambda: built.sample_given(target(sigma0=0.0), known), autograph=False)
    sampled = sample().numpy().reshape(count, 4)
    np.testing.assert_allclose(sampled[:, KNOWN], values, atol=1e-6)
    assert_moments(sampled[:, UNKNOWN], *conditional_moments())
