"""A guide in some steps: there the method samples w E - (w - 1) E_guide, elsewhere E itself."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import MIDDLE, SHAPE, SIGMA0, advance, int_seeds, target
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import denoise
from tf_mdsm.samplers.conditioning import KnownPixels
from tf_mdsm.samplers.guided import Guided, GuidedTarget
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.multistep import Multistep
from tf_mdsm.samplers.sampling import sample
from tf_mdsm.samplers.sized import sized
from tf_mdsm.samplers.starts import IsotropicStart

WEIGHT = 2.5


def quadratic(precision, middle=MIDDLE):
    """Energy and score of precision |x - middle|^2 / 2."""

    def energy_and_score(x):
        offset = x - middle
        return precision * tf.reduce_sum(offset**2, (1, 2, 3)) / 2, -precision * offset

    return energy_and_score


# Of the denoisers D(x) = x + sigma0^2 score(x).
OWN, GUIDE = 0.8 / SIGMA0**2, 0.6 / SIGMA0**2
TARGET = GuidedTarget(target(quadratic(OWN)), target(quadratic(GUIDE)), WEIGHT)
# w E - (w - 1) E_guide has the precision of the same combination.
EVERYWHERE = target(quadratic(WEIGHT * OWN - (WEIGHT - 1) * GUIDE))

METHODS = {
    "heun": Heun([1.0, 0.5, 0.2, 0.1]),
    "multistep": Multistep([1.0, 0.5, 0.2, 0.1]),
    "churned": Heun([1.0, 0.5, 0.2, 0.1], churn=2.0),
    "ancestral": AncestralEuler([1.0, 0.5, 0.2, 0.1]),
    "langevin": AnnealedLangevin([3.0, 2.0, 1.0], step_size=0.05),
}
each_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def sampled(target, method, count=5):
    return tf.function(method.sample, autograph=False)(target, int_seeds(count)).numpy()


@each_method
def test_without_guided_steps_the_images_are_those_of_the_energy(method):
    """Up to rounding: another graph is compiled in another way."""
    guided = Guided(method, [False] * (method.num_steps + 1))
    np.testing.assert_allclose(
        sampled(TARGET, guided), sampled(TARGET.target, method), rtol=1e-6, atol=1e-6
    )


@each_method
def test_with_all_steps_guided_they_are_those_of_the_combined_energy(method):
    guided = Guided(method, [True] * (method.num_steps + 1))
    np.testing.assert_allclose(
        sampled(TARGET, guided), sampled(EVERYWHERE, method), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("at_end", [False, True])
def test_each_step_has_its_own_energy(at_end):
    """Step by step: the energy of the first and the last, the combined one of the second."""
    method, seeds = METHODS["heun"], int_seeds(5)
    expected = method.start_images(TARGET, seeds)
    for step, is_guided in enumerate([False, True, False]):
        energy = EVERYWHERE if is_guided else TARGET.target
        expected, _ = advance(energy, method, expected, step, 1)
    expected = method.finish(EVERYWHERE if at_end else TARGET.target, expected)
    guided = Guided(method, [False, True, False, at_end])
    np.testing.assert_allclose(sampled(TARGET, guided), expected, rtol=1e-4, atol=1e-5)
    assert np.abs(expected - sampled(TARGET.target, method)).max() > 0.01


@each_method
def test_gradients_of_both_energies_are_counted(method):
    counts = tf.Variable([0, 0])

    def counted(index, precision):
        def energy_and_score(x):
            counts.scatter_nd_add([[index]], [1])
            return quadratic(precision)(x)

        return target(energy_and_score)

    both = GuidedTarget(counted(0, OWN), counted(1, GUIDE), WEIGHT)
    guided = Guided(method, [True, *[False] * (method.num_steps - 2), True, True])
    sampled(both, guided)
    of_one = method.max_gradient_evaluations
    of_guide = 2 * method.evaluations_of_step + 1
    assert counts.numpy().tolist() == [of_one, of_guide]
    assert guided.max_gradient_evaluations == of_one + of_guide


def test_known_pixels_are_filled_in_without_the_guide():
    method, rng = METHODS["heun"], np.random.default_rng(0)
    guided = Guided(method, [True] * 4)
    images = tf.constant(rng.uniform(size=(3, *SHAPE)), tf.float32)
    mask = tf.constant(rng.integers(0, 2, (3, *SHAPE[:2], 1)), tf.float32)
    filled = guided.inpaint(TARGET, images, mask, int_seeds(3))
    np.testing.assert_array_equal(filled, method.inpaint(TARGET.target, images, mask, int_seeds(3)))
    given = KnownPixels(images, mask, int_seeds(3))
    np.testing.assert_array_equal(filled, guided.sample_given(TARGET, given))


def test_what_is_not_sampled_sees_the_energy_itself():
    images = tf.random.stateless_uniform([2, *SHAPE], [0, 1])
    for own, of_target in zip(
        TARGET.energy_and_score(images), TARGET.target.energy_and_score(images), strict=True
    ):
        np.testing.assert_array_equal(own, of_target)
    assert (TARGET.image_shape, TARGET.sigma0) == (SHAPE, SIGMA0)
    assert sized(TARGET, SHAPE[:2]) is TARGET


def test_targets_of_any_size_are_sampled_with_the_guide():
    """As if both had been made for one size."""
    own, guide = (target(quadratic(p), (None, None, 2)) for p in (OWN, GUIDE))
    free = GuidedTarget(own, guide, WEIGHT)
    both = GuidedTarget(sized(own, (5, 7)), sized(guide, (5, 7)), WEIGHT)
    assert sized(free, (5, 7)) == both
    method = Guided(METHODS["heun"], [False, True, False, True])
    images = sample(free, method, seeds=[3, 4], image_size=(5, 7))
    assert images.shape == (2, 5, 7, 2)
    np.testing.assert_array_equal(images, sample(both, method, seeds=[3, 4]))
    with pytest.raises(InvalidArgument, match="`image_size` must be given"):
        sample(free, method, seeds=[3, 4])


def test_one_noise_level_is_one_step_of_the_combined_denoiser():
    method = Heun([1.0])
    expected = denoise(EVERYWHERE, method.start_images(TARGET, int_seeds(3)))[1]
    images = sample(TARGET, Guided(method, [True]), seeds=range(3))
    np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-5)


def test_the_start_is_that_of_the_method():
    method = Heun([1.0, 0.1], start=IsotropicStart(0.2))
    assert Guided(method, [True, False]).start is method.start
    assert Guided(method, [True, False]).schedule == method.schedule
    assert Guided(method, [True, False]).sigma_range(TARGET) == method.sigma_range(TARGET)
    with pytest.raises(InvalidArgument, match="`start` must be that of the method"):
        Guided(method, [True, False], start=IsotropicStart(0.3))


def test_equal_methods_are_equal():
    """So that a chain is compiled once."""
    method = METHODS["heun"]
    one, same, other = (Guided(method, [b, True, False, False]) for b in (True, True, False))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


@pytest.mark.parametrize("wrong", [[True], [True] * 3, [1, 0, 0, 1], True, [[True] * 4], None])
def test_steps_that_are_not_named_are_refused(wrong):
    with pytest.raises(InvalidArgument, match="`guided` must be True or False for each step"):
        Guided(METHODS["heun"], wrong)


@pytest.mark.parametrize("wrong", ["heun", None, Heun])
def test_what_is_no_method_is_refused(wrong):
    with pytest.raises(InvalidArgument, match="`method` must be a method, as Heun"):
        Guided(wrong, [True])


def test_a_target_without_guide_is_refused():
    guided = Guided(METHODS["heun"], [True, False, False, False])
    with pytest.raises(InvalidArgument, match="`target` must be a GuidedTarget"):
        guided.sample(TARGET.target, int_seeds(1))


def test_what_guides_must_fit():
    other = target(quadratic(GUIDE), (4, 4, 1))
    with pytest.raises(InvalidArgument, match="`guide` must be of images of"):
        GuidedTarget(TARGET.target, other, 2.0)
    for weight in (0.5, np.nan, "2"):
        with pytest.raises(InvalidArgument, match="`weight` must be at least 1"):
            GuidedTarget(TARGET.target, TARGET.guide, weight)
    with pytest.raises(InvalidArgument, match="`target` must have image_shape"):
        GuidedTarget(TARGET.target, None, 2.0)
