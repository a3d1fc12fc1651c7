"""Known pixels: they keep their values, and have the noise of the current level."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import ALL, SHAPE, SIZE, int_seeds, methods, one_step, target
from tf_mdsm.samplers.base import NoiseGridMethod
from tf_mdsm.samplers.conditioning import KnownPixels

ON_A_NOISE_GRID = [name for name in ALL if isinstance(methods()[name], NoiseGridMethod)]


def upper_part(count, rows=6):
    mask = np.zeros((count, *SHAPE[:2], 1), np.float32)
    mask[:, :rows] = 1
    return tf.constant(mask)


@pytest.fixture(scope="module", params=sorted({*ALL} - {"mala"}))
def inpaint(request):
    """`Method.inpaint` of each method where clean images are constant, compiled.

    MALA, which takes long to compile, is HMC with one leapfrog step; see also tests/slow.
    """
    images, mask = tf.TensorSpec([None, *SHAPE]), tf.TensorSpec([None, *SHAPE[:2], 1])
    signature = [images, mask, tf.TensorSpec([None], tf.int64)]
    inpaint = functools.partial(methods()[request.param].inpaint, target())
    compiled = tf.function(inpaint, input_signature=signature, autograph=False)
    compiled(tf.zeros((3, *SHAPE)), upper_part(3), int_seeds(3))
    return compiled


def test_unknown_pixels_follow_the_known_ones(inpaint):
    """Clean images are constant: the unknown pixels get the gray of the known ones."""
    grays = np.float32([0.1, 0.5, 0.8])
    images = np.broadcast_to(grays[:, None, None, None], (3, *SHAPE)).copy()
    mask = upper_part(3)
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
    method, seeds = methods()[name], int_seeds(count)
    images = tf.random.stateless_uniform((count, *SHAPE), [5, 6])
    known = KnownPixels(images, upper_part(count), seeds)
    state, step = (
        method.initial_state(method.start_images(target(), seeds, known)),
        one_step(target(), method, seeds, known),
    )
    pixels = count * SIZE * 6 / 8
    for index, sigma in enumerate(method.sigmas):
        error = (method.images_of(state) - images)[:, :6]
        spread = np.std(error)
        assert spread == pytest.approx(sigma, rel=5 / np.sqrt(2 * pixels) + 1e-4), index
        if index < method.num_steps:
            state = step(state, index)
    final = method.finish(target(), method.images_of(state), known)
    np.testing.assert_allclose(final[:, :6], images[:, :6], atol=1e-6)


def test_known_pixels_may_be_uint8():
    """Divided by 255, as everywhere; float64 is taken as it is."""
    levels, mask, seeds = np.full((1, *SHAPE), 51, np.uint8), upper_part(1), int_seeds(1)
    state = tf.zeros((1, *SHAPE))
    expected = KnownPixels(tf.fill(state.shape, 0.2), mask, seeds).project(state)
    for images in (levels, tf.constant(levels), levels / 255):
        known = KnownPixels(images, mask, seeds)
        np.testing.assert_array_equal(known.project(state), expected)
        np.testing.assert_array_equal(known.project_noisy(state, 0, 0.0), expected)
    method = methods()["heun"]
    filled = method.inpaint(target(), levels, mask, seeds)
    np.testing.assert_array_equal(filled[:, :6], expected[:, :6])


def test_project_noisy_adds_noise_to_known_pixels_only():
    """The noise is independent from step to step, and zero at level 0."""
    count, sigma = 4_000, 0.5
    images, mask = tf.fill([count, 2, 2, 1], 0.7), np.zeros((count, 2, 2, 1), np.float32)
    mask[:, 0] = 1
    known = KnownPixels(images, tf.constant(mask), int_seeds(count))
    state = tf.fill([count, 2, 2, 1], 3.0)
    hot, next_one, cold = (
        known.project_noisy(state, tf.constant(step), tf.constant(level)).numpy()
        for step, level in ((0, sigma), (1, sigma), (2, 0.0))
    )
    for noisy in (hot, next_one):
        assert noisy[:, 0].std() == pytest.approx(sigma, rel=5 / np.sqrt(2 * 2 * count))
        assert (noisy[:, 1] == 3.0).all()
    correlation = np.corrcoef(hot[:, 0].ravel(), next_one[:, 0].ravel())[0, 1]
    assert abs(correlation) < 5 / np.sqrt(2 * count)
    np.testing.assert_array_equal(cold[:, 0], images[:, 0])
    np.testing.assert_array_equal(cold, known.project(state))
