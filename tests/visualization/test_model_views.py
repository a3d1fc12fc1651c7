"""Pictures of a model: samples, points on the energy landscape, denoised images."""

import types

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.visualization import model_views
from tf_mdsm.visualization.images import image_grid
from tf_mdsm.visualization.model_views import denoising_strip, is_points, samples_picture

SIGMAS = np.float32([0.1, 0.2, 0.4, 0.8])


def model(image_shape, **functions):
    noise = types.SimpleNamespace(sigmas=SIGMAS)
    return types.SimpleNamespace(image_shape=image_shape, noise=noise, **functions)


def test_only_single_pixels_of_two_channels_are_points():
    assert is_points((1, 1, 2))
    assert not is_points((1, 1, 3))
    assert not is_points((8, 8, 2))


def test_samples_are_shown_as_a_grid():
    images = np.random.default_rng(0).uniform(size=(5, 8, 8, 1))
    picture = samples_picture(model((8, 8, 1)), images)
    np.testing.assert_array_equal(picture, image_grid(images))


@pytest.mark.parametrize("true_energy", [None, lambda points: points[:, 0, 0, 1]])
def test_points_are_shown_on_the_energy_landscape(monkeypatch, true_energy):
    """The first axis of the landscape is y; the true energy is next to the learned one."""
    monkeypatch.setattr(model_views, "landscapes", lambda *arguments: arguments)
    points = np.random.default_rng(0).uniform(size=(7, 1, 1, 2))
    learned = model((1, 1, 2), energy=lambda points: points[:, 0, 0, 0])
    energies, shown = samples_picture(learned, points, true_energy)
    np.testing.assert_array_equal(shown, points.reshape(7, 2))
    axis = np.linspace(0, 1, 101, dtype=np.float32)
    expected = {"learned energy and samples": np.tile(axis, (101, 1))}
    if true_energy is not None:
        expected["true energy"] = expected["learned energy and samples"].T
    assert energies.keys() == expected.keys()
    for title, energy in energies.items():
        np.testing.assert_array_equal(energy, expected[title])


@pytest.mark.parametrize(("levels", "shown"), [(6, SIGMAS), (2, SIGMAS[[0, 3]])])
def test_denoised_images_are_shown_below_clean_and_noisy_ones(monkeypatch, levels, shown):
    """Three rows for each of some noise levels, from the first one to the last one."""
    monkeypatch.setattr(model_views, "image_grid", lambda images, columns: (images, columns))
    images = np.random.default_rng(1).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    sizes = []

    def halve(noisy):
        sizes.append(len(noisy))
        return tf.constant(noisy / 2)

    halving = model((4, 4, 1), denoise=halve)
    pictures, columns = denoising_strip(halving, images, levels, batch_size=2)
    assert columns == 5
    assert set(sizes) == {2, 1}
    rows = pictures.reshape(len(shown), 3, 5, 4, 4, 1)
    for sigma, (clean, noisy, denoised) in zip(shown, rows, strict=True):
        np.testing.assert_array_equal(clean, images)
        np.testing.assert_array_equal(denoised, noisy / 2)
        # 80 numbers; the standard deviation of their standard deviation is sigma / sqrt(160).
        assert abs((noisy - clean).std() / sigma - 1) < 4.5 / np.sqrt(160)
