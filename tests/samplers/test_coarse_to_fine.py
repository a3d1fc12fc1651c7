"""Coarse-to-fine ascent: noise levels follow the step sizes, each image stops at its own step."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import (
    MIDDLE,
    SHAPE,
    SIGMA0,
    SIZE,
    advance,
    int_seeds,
    one_image,
)
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.schedules import growing_step_sizes
from tf_mdsm.samplers.starts import isotropic_start


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
