"""MALA and HMC: exact distributions for large steps, acceptance rates, known pixels."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.metropolis_targets import (
    KINDS,
    KNOWN,
    KNOWN_VALUES,
    MIDDLE,
    PRECISION,
    SHAPE,
    UNKNOWN,
    assert_moments,
    conditional_moments,
    gaussian,
    int_seeds,
    method,
    target,
)
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.conditioning import KnownPixels
from tf_mdsm.samplers.metropolis import MALA
from tf_mdsm.samplers.starts import IsotropicStart

STEP_SIZE = 0.9
# Steps of `compiled_move` at temperature 4, at temperature 1, and one too large to be accepted.
HOT, COLD, TOO_LARGE = range(6), range(6, 18), 18
TEMPERATURES = np.float32([4.0] * len(HOT) + [1.0] * (len(COLD) + 1))
STEP_SIZES = STEP_SIZE * np.sqrt(TEMPERATURES) * np.append(np.ones(TOO_LARGE), 50)


class Moves:
    """Moves of MALA or HMC on the Gaussian, compiled once for all tests."""

    def __init__(self, kind: str):
        built = method(kind, temperature=TEMPERATURES, steps=19, step_size=STEP_SIZES)
        images = tf.TensorSpec([None, *SHAPE])
        seeds, step = tf.TensorSpec([None], tf.int64), tf.TensorSpec([], tf.int32)

        @tf.function(input_signature=[images, seeds, step, images, images], autograph=False)
        def move(images, seeds, step, known_images, mask):
            known = KnownPixels(known_images, mask, seeds)
            return built.move(target(sigma0=0.0), images, seeds, step, known)

        self.leapfrog_steps = 1 if kind == "mala" else built.leapfrog_steps
        self._move = move

    def one(self, images, step, mask=None):
        """Images, energies, accepted moves after a step, given the pixels where the mask is 1."""
        mask = tf.zeros_like(images) if mask is None else mask
        return self._move(images, int_seeds(len(images)), tf.constant(step), images, mask)

    def all(self, pixels, steps, known=()):
        """Pixels [N, 4] after some steps; the known ones stay as they are."""
        mask = np.zeros(pixels.shape, np.float32)
        mask[:, known] = 1
        mask = tf.reshape(mask, [-1, *SHAPE])
        images = given = tf.reshape(pixels, [-1, *SHAPE])
        for step in steps:
            images, _, _ = self.one(tf.where(mask > 0.5, given, images), step, mask)
        return images.numpy().reshape(-1, 4)


@pytest.fixture(scope="module", params=KINDS)
def moves(request):
    moves = Moves(request.param)
    moves.one(tf.zeros((2, *SHAPE)), 0)
    return moves


def normal(count, mean, covariance):
    """Samples of a Gaussian, [N, d]."""
    numbers = np.random.default_rng(1).standard_normal((count, len(covariance)))
    return np.float32(mean + numbers @ np.linalg.cholesky(covariance).T)


@pytest.mark.parametrize(("temperature", "steps"), [(4.0, HOT), (1.0, COLD)])
def test_distribution_is_exact_for_large_steps(moves, temperature, steps):
    """Exact samples stay exact: their covariance is T PRECISION^-1.

    Without the Metropolis test six steps would lead far from it.
    """
    covariance = temperature * np.linalg.inv(PRECISION.astype(float))
    before = normal(500, MIDDLE, covariance)
    after = moves.all(before, steps)
    assert_moments(after, MIDDLE, covariance)
    assert (after != before).any(1).mean() > 0.7
    # The stationary variance of the stiffest direction without the test, in units of the exact one.
    share = STEP_SIZE**2 * np.linalg.eigvalsh(PRECISION).max() / 4
    assert 1 / (1 - share) > 5
    assert (1 - 2 * share) ** (2 * len(steps)) < 0.01


def acceptance_probabilities(images, temperature, step_size, leapfrog_steps):
    """Of one move of each image [N, 4], with momenta from N(0, I). MALA is one leapfrog step.

    Source: Neal, "MCMC using Hamiltonian dynamics" (2011), equation 2.28 and algorithm of figure 2.
    """

    def gradient(x):
        return (x - MIDDLE) @ PRECISION.astype(float) / temperature

    def hamiltonian(x, momentum):
        return np.sum((x - MIDDLE) * gradient(x) + momentum**2, 1) / 2

    momentum = np.random.default_rng(2).standard_normal(images.shape)
    before, x = hamiltonian(images, momentum), images.astype(float)
    for _ in range(leapfrog_steps):
        momentum = momentum - step_size / 2 * gradient(x)
        x = x + step_size * momentum
        momentum = momentum - step_size / 2 * gradient(x)
    return np.minimum(1, np.exp(before - hamiltonian(x, momentum)))


@pytest.mark.parametrize(("temperature", "step"), [(4.0, 0), (1.0, 6)])
def test_acceptance_rate_agrees_with_theory(moves, temperature, step):
    """And the reported energies are those before the move."""
    count = 1_000
    images = MIDDLE + 0.7 * tf.random.stateless_normal((count, *SHAPE), [5, 6])
    _, energy, accepted = moves.one(images, step)
    np.testing.assert_allclose(energy, gaussian(images)[0], rtol=1e-5, atol=1e-6)
    expected = acceptance_probabilities(
        images.numpy().reshape(count, 4),
        temperature,
        STEP_SIZES[step],
        moves.leapfrog_steps,
    )
    # The errors of a mean of zeros and ones, and of the expected mean.
    error = np.sqrt(2 * 0.25 / count)
    assert np.mean(accepted) == pytest.approx(expected.mean(), abs=5 * error)


def test_a_rejected_move_does_not_change_the_image(moves):
    images = IsotropicStart().noisy_images(int_seeds(20), SHAPE)
    after, _, accepted = moves.one(images, TOO_LARGE)
    np.testing.assert_array_equal(after, images)
    assert np.max(accepted) == 0


def test_unknown_pixels_have_the_conditional_distribution(moves):
    """Given two pixels without noise (sigma0 = 0), the others are Gaussian, and stay so."""
    pixels = np.tile(np.float32(0), (500, 4))
    pixels[:, KNOWN] = KNOWN_VALUES
    pixels[:, UNKNOWN] = normal(500, *conditional_moments())
    sampled = moves.all(pixels, COLD, KNOWN)
    assert_moments(sampled[:, UNKNOWN], *conditional_moments())
    assert (sampled != pixels)[:, UNKNOWN].any(1).mean() > 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_pixels_are_conditioned_on_the_noisy_known_ones(kind):
    """Within a step the known pixels keep the values with noise, here of level 2."""
    count, level, step = 400, 2.0, tf.constant(0)
    built = method(kind, steps=1, step_size=0.6, moves=12)
    mask = np.zeros((count, 4), np.float32)
    mask[:, KNOWN] = 1
    pixels = np.zeros((count, 4), np.float32)
    pixels[:, KNOWN] = KNOWN_VALUES
    given = tf.reshape(pixels, [-1, *SHAPE])
    known = KnownPixels(given, tf.reshape(mask, [-1, *SHAPE]), int_seeds(count))
    noisy = known.project_noisy(given, step, level).numpy().reshape(count, 4)
    # The conditional mean is linear in the known pixels, with this matrix.
    inner = PRECISION.astype(float)[np.ix_(UNKNOWN, UNKNOWN)]
    slope = -np.linalg.solve(inner, PRECISION.astype(float)[np.ix_(UNKNOWN, KNOWN)])
    shift = (noisy[:, KNOWN] - KNOWN_VALUES) @ slope.T
    pixels[:, UNKNOWN] = normal(count, *conditional_moments()) + shift
    move = tf.function(
        lambda images: built.move(target(sigma0=level), images, int_seeds(count), step, known)[0],
        autograph=False,
    )
    moved = move(tf.reshape(pixels, [-1, *SHAPE])).numpy().reshape(count, 4)
    assert np.abs(shift).mean() > 0.3
    assert (moved != pixels)[:, UNKNOWN].any(1).mean() > 0.7
    assert_moments(moved[:, UNKNOWN] - shift, *conditional_moments())


@pytest.mark.parametrize(
    ("temperatures", "step_sizes"),
    [([1, 2], [1, 1]), ([1, 0], [1, 1]), ([np.nan, 1], [1, 1]), ([1, 1], [1, 0]), ([1, 1], [1])],
)
def test_wrong_schedules_are_refused(temperatures, step_sizes):
    with pytest.raises(InvalidArgument, match=r"temperatures|step_sizes"):
        MALA(temperatures, step_sizes)


class Recorded(Exception):
    """Ends a move at its first use of the known data."""


class Recorder(KnownPixels):
    def project_noisy(self, images, step, sigma):
        raise Recorded(int(step), float(sigma))


def test_known_pixels_have_noise_of_the_temperatures_level():
    """It is sigma0 sqrt(T)."""
    images, seeds = tf.zeros((1, *SHAPE)), int_seeds(1)
    hot = method("mala", temperature=[25.0, 4.0], steps=2)
    for step, level in ((0, 0.5), (1, 0.2)):
        known = Recorder(images, images, seeds)
        with pytest.raises(Recorded) as recorded:
            hot.move(target(sigma0=0.1), images, seeds, tf.constant(step), known)
        assert recorded.value.args == (step, pytest.approx(level))


def test_the_final_image_is_denoised():
    """D(x) = x + sigma0^2 score(x), where x has the known pixels."""
    images = tf.random.stateless_normal((4, *SHAPE), [7, 8])
    mask = np.zeros((4, *SHAPE), np.float32)
    mask[:, 0] = 1
    known = KnownPixels(tf.fill(images.shape, 0.9), tf.constant(mask), int_seeds(4))
    built, wide = method("mala"), target(sigma0=0.3)
    np.testing.assert_allclose(
        built.finish(wide, images), images + 0.09 * gaussian(images)[1], rtol=1e-5
    )
    projected = known.project(images)
    expected = projected + 0.09 * gaussian(projected)[1]
    np.testing.assert_allclose(built.finish(wide, images, known), expected, rtol=1e-5)
