"""Samplers with Metropolis' test: exact laws at any step size, whatever is known."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.conditioning import KnownMeasurement
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.conditioning import KnownPixels
from tf_mdsm.samplers.metropolis import HamiltonianMonteCarlo, MetropolisLangevin
from tf_mdsm.samplers.starts import isotropic_start

SHAPE, MIDDLE = (2, 2, 1), 0.5
# Neighbouring pixels want to be equal.
PRECISION = (4.0 * np.eye(4) - 0.9).astype(np.float32)
# Leapfrog steps that do not turn any direction of the Gaussian by half a circle.
KINDS = {"mala": (MetropolisLangevin, {}), "hmc": (HamiltonianMonteCarlo, {"leapfrog_steps": 2})}


def gaussian(x):
    """Energy and score of N(MIDDLE, PRECISION^-1)."""
    flat = tf.reshape(x - MIDDLE, [-1, 4])
    gradient = tf.matmul(flat, PRECISION)
    return 0.5 * tf.reduce_sum(flat * gradient, 1), -tf.reshape(gradient, tf.shape(x))


def int_seeds(count, first=0):
    return tf.range(first, first + count, dtype=tf.int64)


def sampler(kind, energy=gaussian, temperature=1.0, steps=25, moves=1, step_size=0.6, **options):
    cls, extra = KINDS[kind]
    schedule = np.full(steps, temperature, np.float32), np.full(steps, step_size, np.float32)
    start = options.pop("start", isotropic_start(SHAPE))
    sigma0 = options.pop("sigma0", 0.1)
    return cls(energy, start, *schedule, moves, sigma0, **{**extra, **options})


def advance(sampler, images, seeds, known=None):
    compiled = tf.function(
        lambda images, seeds: sampler.advance(images, seeds, 0, sampler.num_steps, known),
        autograph=False,
    )
    return compiled(images, seeds)[0].numpy()


def assert_law(drawn, mean, covariance):
    """Sample mean and covariance of [N, d] within five of their standard deviations."""
    spread, count = np.sqrt(np.diag(covariance)), len(drawn)
    assert np.abs((drawn.mean(0) - mean) / spread).max() < 5 / np.sqrt(count)
    errors = (np.cov(drawn.T) - covariance) / np.outer(spread, spread)
    assert np.abs(errors).max() < 5 * np.sqrt(2 / count), errors


def shares_of_moves(sampler, images, seeds):
    """The share of accepted moves of each image at the first step."""
    move = tf.function(lambda x, s: sampler.move(x, s, tf.constant(0))[2], autograph=False)
    return move(images, seeds).numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_law_is_exact_however_large_the_steps(kind, temperature):
    """Covariance T PRECISION^-1, where the uncorrected chain would be far off it."""
    count, step_size = 2_000, 0.9
    built = sampler(kind, temperature=temperature, step_size=step_size * np.sqrt(temperature))
    start = MIDDLE + 2 * tf.random.stateless_normal((count, *SHAPE), [1, 2])
    drawn = advance(built, start, int_seeds(count)).reshape(count, 4)
    assert_law(drawn, MIDDLE, temperature * np.linalg.inv(PRECISION.astype(float)))
    stiffest = np.linalg.eigvalsh(PRECISION).max()
    assert 1 / (1 - step_size**2 * stiffest / 4) > 2 or step_size**2 * stiffest > 4


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_two_modes_are_reached(kind):
    """Modes at -1 and 1 of weights 0.3 and 0.7; each has 2.3 % beyond the middle."""
    weights, means, std = tf.constant([0.3, 0.7]), tf.constant([-1.0, 1.0]), 0.5

    def mixture(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            log_terms = -((x - means) ** 2) / (2 * std**2) + tf.math.log(weights)
            energy = -tf.reduce_logsumexp(log_terms, axis=(1, 2, 3))
        return energy, -tape.gradient(energy, x)

    count = 1_000
    built = sampler(kind, mixture, steps=60, step_size=0.7)
    start = isotropic_start((1, 1, 1))(int_seeds(count))
    drawn = advance(built, start, int_seeds(count))
    expected = 0.7 * 0.97725 + 0.3 * 0.02275
    assert np.mean(drawn > 0) == pytest.approx(expected, abs=5 * np.sqrt(0.21 / count))


def test_the_test_accepts_as_often_as_theory_says():
    """MALA on N(0, I) of d dimensions: a share 2 Phi(-l^3 / 8) for steps l d^(-1/6).

    Source: Roberts and Rosenthal, "Optimal scaling of discrete approximations to Langevin
    diffusions" (1998), theorem 1, with K = 1/4 for a Gaussian.
    """
    shape, count, length = (8, 8, 16), 400, 1.5
    size = int(np.prod(shape))

    def unit(x):
        return tf.reduce_sum(x**2, (1, 2, 3)) / 2, -x

    step_size = length * size ** (-1 / 6)
    built = sampler("mala", unit, step_size=step_size, moves=4)
    images = tf.random.stateless_normal((count, *shape), [3, 4])
    found = shares_of_moves(built, images, int_seeds(count)).mean()
    expected = 2 * float(tfp.distributions.Normal(0.0, 1.0).cdf(-(length**3) / 8))
    # Three of four moves begin where another has ended; the limit is one of many dimensions.
    assert found == pytest.approx(expected, abs=5 * np.sqrt(0.25 / count) + 0.02)


def test_one_leapfrog_step_is_a_langevin_move():
    """The same acceptance, from the same images, in the mean."""
    count = 3_000
    images = MIDDLE + 0.7 * tf.random.stateless_normal((count, *SHAPE), [5, 6])
    one = sampler("hmc", leapfrog_steps=1, step_size=0.8)
    shares = [
        shares_of_moves(built, images, int_seeds(count)).mean()
        for built in (one, sampler("mala", step_size=0.8))
    ]
    assert shares[0] == pytest.approx(shares[1], abs=5 * np.sqrt(2 * 0.25 / count))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["pixels", "measurement"])
def test_the_unknown_part_has_the_conditional_law(kind, what):
    """Two pixels are known without noise (sigma0 = 0): the others are Gaussian."""
    count, unknown, known_ones = 2_000, [1, 2], [0, 3]
    images = tf.tile(tf.reshape(tf.constant([0.9, 0.0, 0.0, 0.2]), [1, 2, 2, 1]), [count, 1, 1, 1])
    mask = np.zeros((count, *SHAPE), np.float32)
    mask.reshape(count, 4)[:, known_ones] = 1
    if what == "pixels":
        known = KnownPixels(images, tf.constant(mask), int_seeds(count))
    else:
        values = tf.gather(tf.reshape(images, [-1, 4]), known_ones, axis=1)
        known = KnownMeasurement(CornersMeasured(), values, int_seeds(count))
    built = sampler(kind, step_size=0.8, sigma0=0.0)
    drawn = tf.function(lambda: built.restore(known), autograph=False)().numpy().reshape(count, 4)
    np.testing.assert_allclose(drawn[:, known_ones], [[0.9, 0.2]] * count, atol=1e-6)
    inner = PRECISION[np.ix_(unknown, unknown)].astype(float)
    pull = PRECISION[np.ix_(unknown, known_ones)] @ [0.4, -0.3]
    assert_law(drawn[:, unknown], MIDDLE - np.linalg.solve(inner, pull), np.linalg.inv(inner))


class CornersMeasured:
    """The upper left and the lower right pixel."""

    def measure(self, images):
        return tf.gather(tf.reshape(images, [-1, 4]), [0, 3], axis=1)

    def adjoint(self, values):
        zeros = tf.zeros_like(values[:, 0])
        flat = tf.stack([values[:, 0], zeros, zeros, values[:, 1]], 1)
        return tf.reshape(flat, [-1, *SHAPE])


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_move_leaves_the_image_as_it_is(kind):
    built = sampler(kind, step_size=50.0, steps=3)
    images = isotropic_start(SHAPE)(int_seeds(20))
    np.testing.assert_array_equal(advance(built, images, int_seeds(20)), images)
    assert shares_of_moves(built, images, int_seeds(20)).max() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_moves_differ_from_step_to_step_and_move_to_move(kind):
    """On a flat energy all moves are accepted: their sum spreads as so many of one."""
    count, steps, moves, step_size = 600, 3, 2, 0.5

    def flat(x):
        return tf.reduce_sum(0 * x, (1, 2, 3)), 0 * x

    built = sampler(kind, flat, steps=steps, moves=moves, step_size=step_size)
    drawn = advance(built, tf.zeros((count, *SHAPE)), int_seeds(count))
    length = step_size * (2 if kind == "hmc" else 1)
    expected = length * np.sqrt(steps * moves)
    assert drawn.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * count * 4))


def test_large_seeds_have_noise_of_their_own():
    """Seeds that agree in their lower half do not meet."""
    built = sampler("mala", steps=2)
    start = tf.zeros((3, *SHAPE))
    drawn = advance(built, start, tf.constant([7, 7 + 2**32, 7 + 2**60], tf.int64))
    assert len(np.unique(drawn[:, 0, 0, 0])) == 3


@pytest.mark.parametrize(
    ("temperatures", "step_sizes"),
    [([1, 2], [1, 1]), ([1, 0], [1, 1]), ([np.nan, 1], [1, 1]), ([1, 1], [1, 0]), ([1, 1], [1])],
)
def test_wrong_schedules_are_refused(temperatures, step_sizes):
    arrays = np.array(temperatures, np.float32), np.array(step_sizes, np.float32)
    with pytest.raises(InvalidArgument, match=r"temperatures|step_sizes"):
        MetropolisLangevin(gaussian, isotropic_start(SHAPE), *arrays, 1, 0.1)


def test_the_end_is_the_denoised_image():
    built = sampler("mala", steps=2)
    chain = compile_chain(built, 1)(range(4))
    expected = chain.states[-2] + 0.01 * gaussian(chain.states[-2])[1].numpy()
    np.testing.assert_allclose(chain.images, expected, rtol=1e-5)
