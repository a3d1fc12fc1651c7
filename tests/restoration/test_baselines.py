"""Baselines: scikit-image's methods, on images of bright rectangles."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.restoration.baselines import baseline_solution
from tf_mdsm.restoration.tasks import create_task


def rectangles(channels):
    """Three images; the channels have different gray levels."""
    images = np.zeros((3, 16, 16, channels), np.float32)
    for number, image in enumerate(images):
        image[3 : 11 + number, 4 : 13 - number] = np.linspace(0.8, 0.4, channels)
    return images


def errors(images, restored):
    return ((images - restored) ** 2).mean((1, 2, 3))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("inpaint_box", "biharmonic inpainting"),
        ("super_resolution_2", "bicubic interpolation"),
        ("deblur", "unsharp masking"),
    ],
)
def test_baselines_are_better_than_the_measured_images(name, method, channels):
    images = rectangles(channels)
    task = create_task(name, (16, 16, channels), hole=0.25)
    values = task.operator.measure(tf.constant(images)).numpy()
    measured = task.values_as_images(values, images.shape[1:])
    found, restored = baseline_solution(task, measured)
    assert found == method
    assert restored.shape == images.shape
    assert errors(images, restored).mean() < errors(images, measured).mean()


@pytest.mark.parametrize("channels", [1, 3])
def test_noise_is_removed(channels):
    images = rectangles(channels)
    noisy = images + 0.1 * np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
    task = create_task("denoise", (16, 16, channels))
    found, restored = baseline_solution(task, noisy)
    assert found == "non-local means"
    assert restored.shape == images.shape
    assert (errors(images, restored) < 0.5 * errors(images, noisy)).all()


@pytest.mark.parametrize("name", ["compressive_sensing", "colorize"])
def test_some_tasks_have_no_baseline(name):
    task = create_task(name, (4, 4, 3))
    assert baseline_solution(task, np.zeros((1, 4, 4, 3), np.float32)) is None
