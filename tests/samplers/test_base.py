"""What all samplers hold: an image is a function of its seed, whatever the batch."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import ALL, SHAPE, advance, gaussian, int_seeds, samplers
from tf_mdsm.config.ranges import CHOICES
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.starts import isotropic_start


def flat(x):
    """Constant energy, zero score."""
    return tf.zeros(tf.shape(x)[0]), tf.zeros_like(x)


# Their images are a function of the start: no noise is added on the way.
DETERMINISTIC = ["heun"]


NOISY = [name for name in ALL if name not in DETERMINISTIC]


@functools.cache
def compiled_chain(name: str):
    """The whole run of a sampler on `gaussian`, compiled once for all tests."""
    return compile_chain(samplers(gaussian)[name], show_every=1_000)


@functools.cache
def compiled_sample(name: str):
    """A function from seeds to images, compiled once for all tests."""
    signature = [tf.TensorSpec([None], tf.int64)]
    return tf.function(samplers(gaussian)[name].sample, input_signature=signature, autograph=False)


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, np.nan], [], [[1.0]], [-1.0], [np.inf, 1.0]])
def test_schedules_that_rise_or_are_not_finite_are_refused(wrong):
    for name in ("annealed_langevin", "heun", "coarse_to_fine", "mala"):
        sampler = samplers()[name]
        fields = {"heun": "sigmas", "coarse_to_fine": "step_sizes"}
        field = fields.get(name, "temperatures")
        with pytest.raises(InvalidArgument, match=f"`{field}` must"):
            dataclasses.replace(sampler, **{field: np.array(wrong, np.float32)})


@pytest.mark.parametrize("name", ALL)
def test_batches_of_1_7_and_64_give_the_same_images(name):
    """The noise is the same bit for bit; the images differ by the order of sums only."""
    draw = compiled_chain(name)
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


@pytest.mark.parametrize("name", ALL)
def test_an_image_depends_on_its_own_seed_only(name):
    draw = compiled_sample(name)
    together = draw(int_seeds(5)).numpy()
    alone = np.concatenate([draw(int_seeds(1, seed)) for seed in range(5)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)
    backwards = draw(int_seeds(5)[::-1]).numpy()
    np.testing.assert_allclose(together, backwards[::-1], rtol=1e-5, atol=1e-6)
    assert len(np.unique(together[:, 0, 0, 0])) == 5


@pytest.mark.parametrize("name", ALL)
def test_splitting_a_sampling_run_into_parts_does_not_change_it(name):
    sampler = samplers(gaussian)[name]
    steps = []
    unsplit = compiled_chain(name)(range(4))
    split = compile_chain(sampler, 5)(range(4), steps.append)
    sampled = compiled_sample(name)(int_seeds(4))
    np.testing.assert_array_equal(unsplit.images, split.images)
    np.testing.assert_array_equal(unsplit.energies, split.energies)
    np.testing.assert_allclose(sampled, split.images, rtol=1e-5, atol=1e-6)
    assert sum(steps) == sampler.num_steps
    assert split.energies.shape == (sampler.num_steps, 4)
    assert len(split.states) == 1 + len(steps) + 1
    quantity, values = sampler.schedule
    assert quantity
    assert len(values) == sampler.num_steps


@pytest.mark.parametrize("name", sorted({*ALL} - {"mala", "hmc"}))
def test_eager_and_compiled_agree(name):
    """Not of MALA and HMC: eager execution traces each of their steps again."""
    sampler = samplers(gaussian)[name]
    images = sampler.start(int_seeds(3))
    eager = sampler.advance(images, int_seeds(3), tf.constant(0), tf.constant(2))
    for ours, theirs in zip(eager, advance(sampler, images, 0, 2), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


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
