"""Tests of denoiser-based samplers against closed forms, and of properties that all samplers have.

More tests of MALA and HMC are in test_metropolis.py. For two energies the blind denoiser is the
best denoiser at every noise level:

- one clean image m: D(x) = m, E = |x - m|^2 / (2 sigma0^2);
- clean images N(m, s^2 I) with many pixels d: |x - m|^2 / d is nearly s^2 + sigma^2, so
  D(x) = m + s^2 d / |x - m|^2 (x - m), E = (|x - m|^2 / 2 - d s^2 log |x - m|) / sigma0^2.
"""

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.config.ranges import CHOICES
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import NoiseGridSampler
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownPixels
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.metropolis import HamiltonianMonteCarlo, MetropolisLangevin
from tf_mdsm.samplers.schedules import annealing_temperatures, falling_sigmas, growing_step_sizes
from tf_mdsm.samplers.starts import images_start, isotropic_start

SHAPE, SIGMA0, MIDDLE, STD = (8, 8, 4), 0.1, 0.5, 0.3
SIZE = int(np.prod(SHAPE))


def one_image(x):
    """Energy and score if MIDDLE is the only clean image."""
    offset = x - MIDDLE
    return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * SIGMA0**2), -offset / SIGMA0**2


def gaussian(x):
    """Energy and score for clean images N(MIDDLE, STD^2 I)."""
    offset = x - MIDDLE
    square = tf.reduce_sum(offset**2, (1, 2, 3), keepdims=True)
    energy = (square / 2 - SIZE * STD**2 * tf.math.log(square) / 2) / SIGMA0**2
    return tf.reshape(energy, [-1]), -offset * (1 - SIZE * STD**2 / square) / SIGMA0**2


def constant_images(x):
    """Energy and score if clean images are constant: D is the mean of the pixels, at any noise."""
    offset = x - tf.reduce_mean(x, (1, 2, 3), keepdims=True)
    return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * SIGMA0**2), -offset / SIGMA0**2


def flat(x):
    """Constant energy, zero score."""
    return tf.zeros(tf.shape(x)[0]), tf.zeros_like(x)


def int_seeds(count, first=0):
    return tf.range(first, first + count, dtype=tf.int64)


def samplers(energy_and_score=constant_images, shape=SHAPE) -> dict:
    sigmas = falling_sigmas(1.0, 0.01, 12)
    shared = (energy_and_score, isotropic_start(shape), SIGMA0)

    def denoise(x):
        return x + SIGMA0**2 * energy_and_score(x)[1]

    temperatures = annealing_temperatures(100.0, 3, 100, 20)
    return {
        "annealed_langevin": AnnealedLangevin(
            energy_and_score, denoise, shared[1], temperatures, 0.07, SIGMA0
        ),
        "heun": Heun(*shared, sigmas),
        "churned_heun": Heun(*shared, sigmas, churn=3.0),
        "ancestral": AncestralEuler(*shared, sigmas),
        "coarse_to_fine": CoarseToFine(*shared, growing_step_sizes(0.05, 60), 0.3, 1.0, 0.02),
        "mala": MetropolisLangevin(*shared[:2], *tempered(sigmas), 2, SIGMA0),
        "hmc": HamiltonianMonteCarlo(*shared[:2], *tempered(sigmas), 2, SIGMA0, leapfrog_steps=2),
    }


def tempered(sigmas):
    """Temperatures and step sizes of MALA and HMC for given noise levels."""
    return (sigmas / SIGMA0) ** 2, 0.5 * sigmas


ALL = sorted(samplers())
# For tests of all samplers. MALA differs from HMC only in its kernel: tested with --long.
EACH = [pytest.param(name, marks=pytest.mark.long) if name == "mala" else name for name in ALL]
# Their images are a function of the start: no noise is added on the way.
DETERMINISTIC = ["heun"]
NOISY = [name for name in ALL if name not in DETERMINISTIC]
ON_A_NOISE_GRID = [name for name in ALL if isinstance(samplers()[name], NoiseGridSampler)]
WITH_METROPOLIS_TEST = ["hmc", "mala"]


def advance(sampler, images, first_step=0, num_steps=None, seeds=None):
    seeds = int_seeds(len(images)) if seeds is None else seeds
    num_steps = sampler.num_steps if num_steps is None else num_steps

    @tf.function(autograph=False)
    def compiled(images):
        return sampler.advance(images, seeds, first_step, num_steps)

    return [result.numpy() for result in compiled(images)]


def one_step(sampler, seeds, known=NOTHING_KNOWN):
    """A compiled function of images and the index of a step, which runs this step."""

    @tf.function(autograph=False)
    def compiled(images, index):
        return sampler.advance(images, seeds, index, 1, known)[0]

    return lambda images, index: compiled(images, tf.constant(index)).numpy()


# Schedules.


def test_noise_levels_fall_from_the_largest_to_the_smallest():
    sigmas = falling_sigmas(3.0, 0.1, 10)
    assert sigmas[0] == np.float32(3.0)
    assert sigmas[-1] == np.float32(0.1)
    assert (np.diff(sigmas) < 0).all()
    roots = sigmas.astype(float) ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots), np.diff(roots)[0], rtol=1e-4)
    np.testing.assert_allclose(falling_sigmas(3.0, 1.0, 5, rho=1.0), [3, 2.5, 2, 1.5, 1])


@pytest.mark.parametrize("wrong", [(1.0, 1.0, 5), (1.0, 0.0, 5), (1.0, 0.1, 1)])
def test_noise_levels_that_do_not_fall_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="must"):
        falling_sigmas(*wrong)


def test_step_sizes_grow_from_the_first_towards_one():
    sizes = growing_step_sizes(0.01, 10_000)
    assert sizes[0] == np.float32(0.01)
    np.testing.assert_allclose(sizes[99], 1 / 1.99, rtol=1e-6)
    assert (np.diff(sizes) > 0).all()
    assert 0.99 < sizes[-1] < 1
    np.testing.assert_array_equal(growing_step_sizes(1.0, 5), 1)


# Heun.


def test_heun_converges_to_the_exact_flow_with_second_order():
    """x(sigma) = m + (x0 - m) sqrt((s^2 + sigma^2) / (s^2 + sigma_max^2))."""
    sigma_max, sigma_min = 2.0, 0.1
    offset = tf.random.stateless_normal((6, *SHAPE), [1, 2])
    square = tf.reduce_mean(offset**2, (1, 2, 3), keepdims=True)
    # Distances at which the blind denoiser estimates the noise level exactly.
    offset *= tf.sqrt((STD**2 + sigma_max**2) / square)
    fall = np.sqrt((STD**2 + sigma_min**2) / (STD**2 + sigma_max**2))
    errors = []
    for num_steps in (12, 24, 48):
        sigmas = falling_sigmas(sigma_max, sigma_min, num_steps + 1)
        sampler = Heun(gaussian, isotropic_start(SHAPE), SIGMA0, sigmas)
        images, _ = advance(sampler, MIDDLE + offset)
        errors.append(np.abs((images - MIDDLE) / offset.numpy() - fall).max() / fall)
    assert errors[-1] < 0.001
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert ((orders > 1.8) & (orders < 2.4)).all(), (orders, errors)


def test_heun_is_exact_for_one_clean_image():
    """For one clean image the flow is a straight line."""
    images = isotropic_start(SHAPE, 3.0)(int_seeds(3))
    sigmas = falling_sigmas(3.0, 0.1, 4)
    sampler = Heun(one_image, isotropic_start(SHAPE), SIGMA0, sigmas)
    sampled, energies = advance(sampler, images)
    np.testing.assert_allclose(sampled - MIDDLE, (images - MIDDLE) / 30, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(sampler.finish(sampled), MIDDLE, atol=1e-6)
    expected = [one_image(MIDDLE + (images - MIDDLE) * sigma / 3)[0] for sigma in sigmas[:-1]]
    np.testing.assert_allclose(energies, expected, rtol=1e-3)


@pytest.mark.parametrize("name", ["churned_heun", "ancestral"])
def test_distribution_at_each_level_is_exact_for_one_clean_image(name):
    """It is N(m, sigma_i^2 I) at each level, however coarse the grid is."""
    count = 500
    sampler = samplers(one_image)[name]
    images, step = sampler.start_fn(int_seeds(count)), one_step(sampler, int_seeds(count))
    for index, sigma in enumerate(sampler.sigmas[1:]):
        images = step(tf.constant(images), index)
        spread = np.sqrt(np.mean((images - MIDDLE) ** 2))
        assert spread == pytest.approx(sigma, rel=5 / np.sqrt(2 * count * SIZE)), index
        assert abs(np.mean(images) - MIDDLE) < 5 * sigma / np.sqrt(count * SIZE), index


def test_churn_noise_stays_below_the_first_level():
    """Gradients are evaluated at (1 + churn / N) sigma_i, but not above the first level."""
    count = 200
    sampler = samplers(one_image)["churned_heun"]
    _, energies = advance(sampler, sampler.start_fn(int_seeds(count)))
    levels = np.sqrt(2 * SIGMA0**2 * energies.mean(1) / SIZE)
    expected = np.minimum(1.25 * sampler.sigmas[:-1], sampler.sigmas[0])
    np.testing.assert_allclose(levels, expected, rtol=5 / np.sqrt(2 * count * SIZE))


# Ancestral Euler.


def test_ancestral_variance_follows_its_recursion_and_approaches_the_datas():
    """In many dimensions the variance v of a Gaussian goes from level sigma to sigma' as
    v' = v (a + (1 - a) r^2)^2 + sigma'^2 (1 - r^2), a = s^2 / v, r = sigma' / sigma."""
    count, biases = 500, []
    for num_levels in (9, 33):
        sigmas = falling_sigmas(2.0, 0.05, num_levels)
        sampler = AncestralEuler(gaussian, isotropic_start(SHAPE), SIGMA0, sigmas)
        width = np.sqrt(STD**2 + 4.0)
        start = isotropic_start(SHAPE, float(width))(int_seeds(count, first=7_000))
        variance = width**2
        for sigma, next_sigma in itertools.pairwise(sigmas):
            kept, ratio = STD**2 / variance, (next_sigma / sigma) ** 2
            variance *= (kept + (1 - kept) * ratio) ** 2
            variance += next_sigma**2 * (1 - ratio)
        images, _ = advance(sampler, start)
        sample_variance = np.mean((images - MIDDLE) ** 2)
        # The sampling error, and the error of finitely many dimensions.
        tolerance = 5 * np.sqrt(2 / (count * SIZE)) + 2 / SIZE
        assert sample_variance == pytest.approx(variance, rel=tolerance)
        biases.append(sample_variance / (STD**2 + 0.05**2) - 1)
    assert abs(biases[1]) < 0.05, biases
    assert abs(biases[1]) < abs(biases[0]) / 2.5, "not of first order"


# Coarse-to-fine ascent.


def ascent(beta=1.0, sigma_end=0.02, steps=200, energy_and_score=one_image, h0=0.05):
    sizes = growing_step_sizes(h0, steps)
    start = isotropic_start(SHAPE)
    return CoarseToFine(energy_and_score, start, SIGMA0, sizes, beta, 1.0, sigma_end)


def at_distances(scales: np.ndarray) -> tf.Tensor:
    """Images whose noise levels around MIDDLE are exactly `scales`."""
    directions = tf.random.stateless_normal((len(scales), *SHAPE), [3, 4])
    directions /= tf.sqrt(tf.reduce_mean(directions**2, (1, 2, 3), keepdims=True))
    return MIDDLE + scales[:, None, None, None] * directions


def test_ascent_without_noise_multiplies_the_noise_level_by_one_minus_h():
    images = isotropic_start(SHAPE)(int_seeds(3))
    sampler = ascent(sigma_end=0.0)
    sampled, _ = advance(sampler, images, 0, 10)
    fall = np.prod(1 - sampler.step_sizes[:10].astype(float))
    np.testing.assert_allclose(sampled - MIDDLE, fall * (images - MIDDLE), rtol=1e-3, atol=1e-5)
    others, _ = advance(sampler, images, 0, 10, int_seeds(3, first=50))
    np.testing.assert_array_equal(sampled, others)


@pytest.mark.parametrize("beta", [0.2, 0.7])
def test_ascent_with_noise_multiplies_the_noise_level_by_one_minus_beta_h(beta):
    count = 400
    sampler = ascent(beta, sigma_end=0.0)
    images = isotropic_start(SHAPE)(int_seeds(count))
    sampled, _ = advance(sampler, images, 0, 12)
    expected = np.prod(1 - beta * sampler.step_sizes[:12].astype(float))
    spread = np.sqrt(np.mean((sampled - MIDDLE) ** 2) / np.mean((images - MIDDLE) ** 2))
    # Each step's noise is relative to the image's own level, so each step adds an error.
    assert spread == pytest.approx(expected, rel=5 * np.sqrt(12 / (2 * count * SIZE)))


def test_each_image_stops_at_its_own_step():
    """Four images at different distances: each is unchanged once its level is below the end."""
    scales = np.float32([0.01, 0.1, 1.0, 3.0])
    images = at_distances(scales)
    sampler = ascent()
    sampled, energies = advance(sampler, images)
    np.testing.assert_array_equal(sampled[0], images[0])
    falls = np.cumprod(np.append(1, 1 - sampler.step_sizes.astype(float)))
    expected = [scale * falls[np.argmax(scale * falls < 0.02)] for scale in scales]
    levels = np.sqrt(np.mean((sampled - MIDDLE) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(levels, expected, rtol=1e-3)
    np.testing.assert_allclose(sampler.finish(tf.constant(sampled)), MIDDLE, atol=1e-6)
    # After all images have stopped, the recorded energies stay constant.
    assert energies.shape == (sampler.num_steps, 4)
    np.testing.assert_allclose(energies[-1], one_image(sampled)[0], rtol=1e-5)
    np.testing.assert_array_equal(energies[100:], np.tile(energies[100], (100, 1)))


def test_other_images_of_the_batch_do_not_change_when_an_image_stops():
    """The same image alone, with one that stops at once, and with one that takes longer."""
    sampler = ascent(beta=0.5)
    image = isotropic_start(SHAPE)(int_seeds(1))
    alone, _ = advance(sampler, image)
    for scale in (0.01, 30.0):
        pair = tf.concat([image, MIDDLE + scale * (image - MIDDLE)], 0)
        together, _ = advance(sampler, pair)
        np.testing.assert_array_equal(together[0], alone[0])


def test_the_ascent_ends_when_all_images_have_stopped_or_no_steps_are_left():
    evaluations = tf.Variable(0)

    def counted(x):
        evaluations.assign_add(1)
        return one_image(x)

    images = at_distances(np.float32([1.0, 0.1]))
    falls = np.cumprod(1 - ascent().step_sizes.astype(float))
    # The evaluation that finds the last image below the end; the steps before are one fewer.
    last_evaluation = int(np.argmax(falls < 0.02)) + 2
    for steps, expected in ((3, 3), (200, last_evaluation)):
        evaluations.assign(0)
        advance(ascent(steps=steps, energy_and_score=counted), images)
        assert int(evaluations) == expected


# Properties of all samplers.


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, np.nan], [], [[1.0]], [-1.0], [np.inf, 1.0]])
def test_schedules_that_rise_or_are_not_finite_are_refused(wrong):
    for name in ("annealed_langevin", "heun", "coarse_to_fine", "mala"):
        sampler = samplers()[name]
        fields = {"heun": "sigmas", "coarse_to_fine": "step_sizes"}
        field = fields.get(name, "temperatures")
        with pytest.raises(InvalidArgument, match=f"`{field}` must"):
            dataclasses.replace(sampler, **{field: np.array(wrong, np.float32)})


@pytest.mark.parametrize("wrong", [[], [1, 1], [-1], [2**63], [0.5]])
def test_missing_repeated_and_out_of_range_seeds_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`seeds` must"):
        compile_chain(samplers()["heun"])(wrong)


@pytest.mark.parametrize("name", EACH)
def test_batches_of_1_7_and_64_give_the_same_images(name):
    """The noise is the same bit for bit; the images differ by the order of sums only."""
    sampler = samplers(gaussian)[name]
    draw = compile_chain(sampler, show_every=1_000)
    all_64 = draw(range(64))
    for size in (1, 7):
        # The batches that contain the first and the last image.
        for first in (0, 63 // size * size):
            seeds = range(first, min(first + size, 64))
            part = draw(seeds)
            np.testing.assert_array_equal(part.states[0], all_64.states[0][first : first + size])
            np.testing.assert_allclose(
                part.images, all_64.images[first : first + size], rtol=1e-4, atol=1e-5
            )


def test_images_start_adds_noise_to_given_images():
    """Seed s starts at image s mod N, with noise of level sigma that depends on the seed."""
    images = np.float32([0.0, 1.0])[:, None, None, None] * np.ones((2, *SHAPE), np.float32)
    starts = images_start(images, 0.1)(int_seeds(200)).numpy()
    offset = starts - images[np.arange(200) % 2]
    assert offset.std() == pytest.approx(0.1, rel=5 / np.sqrt(2 * 200 * SIZE))
    assert len(np.unique(offset[:, 0, 0, 0])) == 200
    np.testing.assert_array_equal(images_start(images, 0.0)(int_seeds(2)), images)
    for wrong in (images[:0], images[0], images * np.nan):
        with pytest.raises(InvalidArgument, match="`images` must"):
            images_start(wrong, 0.1)


@pytest.mark.parametrize("name", EACH)
def test_an_image_depends_on_its_own_seed_only(name):
    sampler = samplers(gaussian)[name]
    draw = tf.function(
        sampler.sample, input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False
    )
    together = draw(int_seeds(5)).numpy()
    alone = np.concatenate([draw(int_seeds(1, seed)) for seed in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    backwards = draw(int_seeds(5)[::-1]).numpy()
    np.testing.assert_allclose(together, backwards[::-1], rtol=1e-5, atol=1e-6)
    assert len(np.unique(together[:, 0, 0, 0])) == 5


@pytest.mark.parametrize("name", EACH)
def test_splitting_a_sampling_run_into_parts_does_not_change_it(name):
    sampler = samplers(gaussian)[name]
    steps = []
    unsplit = compile_chain(sampler, 1_000)(range(4))
    split = compile_chain(sampler, 5)(range(4), steps.append)
    sampled = tf.function(sampler.sample, autograph=False)(int_seeds(4))
    np.testing.assert_array_equal(unsplit.images, split.images)
    np.testing.assert_array_equal(unsplit.energies, split.energies)
    np.testing.assert_allclose(sampled, split.images, rtol=1e-5, atol=1e-6)
    assert sum(steps) == sampler.num_steps
    assert split.energies.shape == (sampler.num_steps, 4)
    assert len(split.states) == 1 + len(steps) + 1
    quantity, values = sampler.schedule
    assert quantity
    assert len(values) == sampler.num_steps


@pytest.mark.parametrize("name", EACH)
def test_eager_and_compiled_agree(name):
    sampler = samplers(gaussian)[name]
    if name in WITH_METROPOLIS_TEST:
        # Eager execution traces each of their steps again, which takes long.
        first = {field: getattr(sampler, field)[:2] for field in ("temperatures", "step_sizes")}
        sampler = dataclasses.replace(sampler, **first)
    eager = sampler.sample(int_seeds(3))
    compiled = tf.function(sampler.sample, autograph=False)(int_seeds(3))
    np.testing.assert_allclose(eager, compiled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NOISY)
def test_noise_is_a_function_of_the_seed(name):
    """From the same image, two seeds give different images, and equal seeds the same image."""
    sampler = samplers(gaussian)[name]
    images = tf.repeat(isotropic_start(SHAPE)(int_seeds(1)), 3, axis=0)
    sampled, _ = advance(sampler, images, 0, 3, tf.constant([5, 6, 5], tf.int64))
    np.testing.assert_allclose(sampled[0], sampled[2], rtol=1e-5, atol=1e-6)
    assert np.abs(sampled[0] - sampled[1]).max() > 0.01


def test_every_sampler_of_the_configuration_is_tested_here():
    assert set(CHOICES["sampling.sampler"]) <= set(ALL)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_samplers_add_no_noise(name):
    sampler = samplers(gaussian)[name]
    images = isotropic_start(SHAPE)(int_seeds(2))
    one, _ = advance(sampler, images)
    other, _ = advance(sampler, images, seeds=int_seeds(2, first=100))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["heun", "coarse_to_fine"])
def test_images_do_not_change_without_gradient(name):
    images = isotropic_start(SHAPE)(int_seeds(2))
    sampled, _ = advance(samplers(flat)[name], images)
    np.testing.assert_array_equal(sampled, images)


# The counter does not work in HMC's loop over leapfrog steps.
@pytest.mark.parametrize("name", [name for name in ALL if name != "hmc"])
def test_max_gradient_evaluations(name):
    evaluations = tf.Variable(0)

    def counted(x):
        evaluations.assign_add(1)
        return gaussian(x)

    sampler = samplers(counted)[name]
    if name == "coarse_to_fine":
        sampler = dataclasses.replace(sampler, sigma_end=0.0)
    tf.function(sampler.sample, autograph=False)(int_seeds(2))
    assert int(evaluations) == sampler.max_gradient_evaluations


# Inpainting.


def upper_part(count, rows=6):
    mask = np.zeros((count, *SHAPE[:2], 1), np.float32)
    mask[:, :rows] = 1
    return tf.constant(mask)


@pytest.mark.parametrize("name", EACH)
def test_unknown_pixels_follow_the_known_ones(name):
    """Clean images are constant: the unknown pixels get the gray of the known ones."""
    grays = np.float32([0.1, 0.5, 0.8])
    images = np.broadcast_to(grays[:, None, None, None], (3, *SHAPE)).copy()
    mask = upper_part(3)
    inpaint = tf.function(samplers()[name].inpaint, autograph=False)
    sampled = inpaint(tf.constant(images), mask, int_seeds(3)).numpy()
    np.testing.assert_array_equal(sampled[:, :6], images[:, :6])
    np.testing.assert_allclose(sampled[:, 6:], images[:, 6:], atol=0.03)
    # The given values of the unknown pixels do not matter.
    images[:, 6:] = 1e3
    again = inpaint(tf.constant(images), mask, int_seeds(3)).numpy()
    np.testing.assert_array_equal(sampled, again)


@pytest.mark.parametrize("name", ON_A_NOISE_GRID)
def test_known_pixels_have_noise_of_the_current_level(name):
    """Their noise has the level sigma_i, from the start to the last level."""
    count = 300
    sampler = samplers()[name]
    images = tf.random.stateless_uniform((count, *SHAPE), [5, 6])
    known = KnownPixels(images, upper_part(count), int_seeds(count))
    state, step = sampler.start(int_seeds(count), known), one_step(sampler, int_seeds(count), known)
    pixels = count * SIZE * 6 / 8
    for index, sigma in enumerate(sampler.sigmas):
        error = (state - images)[:, :6]
        spread = np.std(error)
        assert spread == pytest.approx(sigma, rel=5 / np.sqrt(2 * pixels) + 1e-4), index
        if index < sampler.num_steps:
            state = step(tf.constant(state), index)
    np.testing.assert_allclose(sampler.finish(state, known)[:, :6], images[:, :6], atol=1e-6)
