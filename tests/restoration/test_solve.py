"""Solving of inverse problems with a sampler."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.targets import FunctionTarget
from tf_mdsm.restoration.solve import denoise_blindly, solve
from tf_mdsm.restoration.tasks import create_task
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.schedules import growing_step_sizes


def constant_images(x):
    """Energy and score if clean images are constant: D(x) is the mean of the pixels."""
    offset = x - tf.reduce_mean(x, (1, 2, 3), keepdims=True)
    return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * 0.1**2), -offset / 0.1**2


TARGET = FunctionTarget(constant_images, (8, 8, 1), sigma0=0.1)


def ascent(sigma_start):
    return CoarseToFine(sigma_start, 0.01, growing_step_sizes(0.05, 100), beta=0.5)


@pytest.mark.parametrize("name", ["inpaint_half", "super_resolution_2"])
def test_solve_restores_images_by_their_values(name):
    """Every solution agrees with the values, has the right gray, and follows from its seed."""
    originals = np.float32([0.2, 0.6, 0.8])[:, None, None, None] * np.ones((3, 8, 8, 1), np.float32)
    task = create_task(name, (8, 8, 1))
    values = task.operator.measure(tf.constant(originals)).numpy()
    restored = solve(
        TARGET, ascent(1.0), task.operator, values, num_solutions=2, seed=7, batch_size=4
    )
    assert restored.shape == (3, 2, 8, 8, 1)
    for solutions in restored.swapaxes(0, 1):
        np.testing.assert_allclose(task.operator.measure(tf.constant(solutions)), values, atol=1e-6)
        np.testing.assert_allclose(solutions, originals, atol=0.03)
    # Image 1 has the seeds 9 and 10.
    one = solve(
        TARGET, ascent(1.0), task.operator, values[1:2], num_solutions=2, seed=9, batch_size=9
    )
    np.testing.assert_allclose(one[0], restored[1], rtol=1e-4, atol=1e-5)
    # Block means determine a constant image; known pixels do not determine the others exactly.
    if name == "inpaint_half":
        assert np.abs(restored[:, 0] - restored[:, 1]).max() > 1e-4
        np.testing.assert_array_equal(restored[:, :, :4], np.stack([originals[:, :4]] * 2, 1))


def test_denoise_blindly_starts_at_the_noisy_images():
    """The noise levels differ, and neither is that of the sampler's own start."""
    grays = np.float32([0.2, 0.7])[:, None, None, None]
    noise = np.random.default_rng(0).standard_normal((2, 8, 8, 1))
    noisy = (grays + np.array([0.1, 0.4])[:, None, None, None] * noise).astype(np.float32)
    denoised = denoise_blindly(TARGET, ascent(30.0), noisy, num_solutions=2, seed=3)
    assert denoised.shape == (2, 2, 8, 8, 1)
    assert denoised.std(axis=(2, 3, 4)).max() < 1e-5
    errors = np.abs(denoised - grays[:, None]).max(axis=(1, 2, 3, 4))
    # The mean of 64 pixels with this noise, and the noise that the sampler adds.
    assert (errors < 5 * 2 * np.array([0.1, 0.4]) / 8).all()
    assert np.abs(denoised[:, 0] - denoised[:, 1]).max() > 1e-5
