"""Coarse-to-fine ascent: noise levels follow the step sizes, each image stops at its own step."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.denoiser_samplers import (
    MIDDLE,
    SHAPE,
    SIZE,
    advance,
    int_seeds,
    one_image,
    target,
)
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.schedules import growing_step_sizes
from tf_mdsm.samplers.starts import IsotropicStart

TARGET = target(one_image)


def ascent(beta=1.0, sigma_end=0.02, steps=200):
    return CoarseToFine(1.0, sigma_end, growing_step_sizes(0.05, steps), beta)


def at_distances(scales: np.ndarray) -> tf.Tensor:
    """Images whose noise levels around MIDDLE are exactly `scales`."""
    directions = tf.random.stateless_normal((len(scales), *SHAPE), [3, 4])
    directions /= tf.sqrt(tf.reduce_mean(directions**2, (1, 2, 3), keepdims=True))
    return MIDDLE + scales[:, None, None, None] * directions


def test_ascent_without_noise_multiplies_the_noise_level_by_one_minus_h():
    images = IsotropicStart().noisy_images(int_seeds(3), SHAPE)
    method = ascent(sigma_end=0.0)
    sampled, _ = advance(TARGET, method, images, 0, 10)
    fall = np.prod(1 - method.step_sizes[:10].astype(float))
    np.testing.assert_allclose(sampled - MIDDLE, fall * (images - MIDDLE), rtol=1e-3, atol=1e-5)
    others, _ = advance(TARGET, method, images, 0, 10, int_seeds(3, first=50))
    np.testing.assert_array_equal(sampled, others)


@pytest.mark.parametrize("beta", [0.2, 0.7])
def test_ascent_with_noise_multiplies_the_noise_level_by_one_minus_beta_h(beta):
    count = 400
    method = ascent(beta, sigma_end=0.0)
    images = IsotropicStart().noisy_images(int_seeds(count), SHAPE)
    sampled, _ = advance(TARGET, method, images, 0, 12)
    expected = np.prod(1 - beta * method.step_sizes[:12].astype(float))
    spread = np.sqrt(np.mean((sampled - MIDDLE) ** 2) / np.mean((images - MIDDLE) ** 2))
    # Each step's noise is relative to the image's own level, so each step adds an error.
    assert spread == pytest.approx(expected, rel=5 * np.sqrt(12 / (2 * count * SIZE)))


def test_each_image_stops_at_its_own_step():
    """Four images at different distances: each is unchanged once its level is below the end."""
    scales = np.float32([0.01, 0.1, 1.0, 3.0])
    images = at_distances(scales)
    method = ascent()
    sampled, energies = advance(TARGET, method, images)
    np.testing.assert_array_equal(sampled[0], images[0])
    falls = np.cumprod(np.append(1, 1 - method.step_sizes.astype(float)))
    expected = [scale * falls[np.argmax(scale * falls < 0.02)] for scale in scales]
    levels = np.sqrt(np.mean((sampled - MIDDLE) ** 2, axis=(1, 2, 3)))
    np.testing.assert_allclose(levels, expected, rtol=1e-3)
    np.testing.assert_allclose(method.finish(TARGET, tf.constant(sampled)), MIDDLE, atol=1e-6)
    # After all images have stopped, the recorded energies stay constant.
    assert energies.shape == (method.num_steps, 4)
    np.testing.assert_allclose(energies[-1], one_image(sampled)[0], rtol=1e-5)
    np.testing.assert_array_equal(energies[100:], np.tile(energies[100], (100, 1)))


def test_other_images_of_the_batch_do_not_change_when_an_image_stops():
    """The same image alone, with one that stops at once, and with one that takes longer."""
    method = ascent(beta=0.5)
    image = IsotropicStart().noisy_images(int_seeds(1), SHAPE)
    alone, _ = advance(TARGET, method, image)
    for scale in (0.01, 30.0):
        pair = tf.concat([image, MIDDLE + scale * (image - MIDDLE)], 0)
        together, _ = advance(TARGET, method, pair)
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
        advance(target(counted), ascent(steps=steps), images)
        assert int(evaluations) == expected
