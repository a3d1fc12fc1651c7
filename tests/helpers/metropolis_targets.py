"""Targets of known distribution, and MALA and HMC on them."""

import numpy as np
import tensorflow as tf

from tests.helpers.targets import FunctionTarget
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN
from tf_mdsm.samplers.metropolis import HMC, MALA, Metropolis
from tf_mdsm.samplers.starts import IsotropicStart

SHAPE, MIDDLE = (2, 2, 1), 0.5

# Positively correlated pixels.
PRECISION = (4.0 * np.eye(4) - 0.9).astype(np.float32)

# So few leapfrog steps that they turn no direction of the Gaussian by half a circle.
KINDS = {"mala": (MALA, {}), "hmc": (HMC, {"leapfrog_steps": 2})}

# Images with two known pixels, given to the tests of the distribution of the others.
KNOWN, UNKNOWN, KNOWN_VALUES = [0, 3], [1, 2], np.float32([0.9, 0.2])


def gaussian(x):
    """Energy and score of N(MIDDLE, PRECISION^-1)."""
    flat = tf.reshape(x - MIDDLE, [-1, 4])
    gradient = tf.matmul(flat, PRECISION)
    return 0.5 * tf.reduce_sum(flat * gradient, 1), -tf.reshape(gradient, tf.shape(x))


def two_modes(x):
    """Energy and score of one pixel: modes -1 and 1 of weights 0.3 and 0.7, each of width 0.5."""
    weights, means, variance = tf.constant([0.3, 0.7]), tf.constant([-1.0, 1.0]), 0.25
    log_terms = -((x - means) ** 2) / (2 * variance) + tf.math.log(weights)
    score = tf.reduce_sum(tf.nn.softmax(log_terms) * (means - x), 3, keepdims=True) / variance
    return -tf.reduce_logsumexp(log_terms, axis=(1, 2, 3)), score


# The probability of a positive pixel: 2.3 % of each mode are beyond the middle.
POSITIVE_OF_TWO_MODES = 0.7 * 0.97725 + 0.3 * 0.02275


def int_seeds(count, first=0):
    return tf.range(first, first + count, dtype=tf.int64)


def target(energy=gaussian, sigma0=0.1, shape=SHAPE) -> FunctionTarget:
    return FunctionTarget(energy, shape, sigma0)


def method(kind, temperature=1.0, steps=25, step_size=0.6, **options) -> Metropolis:
    """A method of constant temperature and step size, or of those of each step."""
    cls, extra = KINDS[kind]
    schedule = (np.full(steps, value, np.float32) for value in (temperature, step_size))
    return cls(*schedule, start=IsotropicStart(), **{**extra, **options})


def advance(target, method: Metropolis, images, seeds, known=NOTHING_KNOWN) -> np.ndarray:
    """Images after all steps of a method."""
    compiled = tf.function(
        lambda images, seeds: method.advance(target, images, seeds, 0, method.num_steps, known),
        autograph=False,
    )
    return compiled(images, seeds)[0].numpy()


def accepted_fractions(target, method: Metropolis, images, seeds) -> np.ndarray:
    """The fraction of accepted moves of each image in the first step."""
    move = tf.function(lambda x, s: method.move(target, x, s, tf.constant(0))[2], autograph=False)
    return move(images, seeds).numpy()


def assert_moments(samples, mean, covariance):
    """Requires mean and covariance of samples [N, d], within five standard deviations."""
    spread, count = np.sqrt(np.diag(covariance)), len(samples)
    assert np.abs((samples.mean(0) - mean) / spread).max() < 5 / np.sqrt(count)
    errors = (np.cov(samples.T) - covariance) / np.outer(spread, spread)
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count), errors


def conditional_moments() -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the unknown pixels of the Gaussian, given the known ones."""
    inner = PRECISION[np.ix_(UNKNOWN, UNKNOWN)].astype(float)
    pull = PRECISION[np.ix_(UNKNOWN, KNOWN)] @ (KNOWN_VALUES - MIDDLE)
    return MIDDLE - np.linalg.solve(inner, pull), np.linalg.inv(inner)
