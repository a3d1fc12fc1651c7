"""Outlier scores: areas against closed forms, and what is done to make images foreign."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.outliers import (
    constant,
    flipped,
    outlier_scores,
    separation,
    shuffled_patches,
    uniform_noise,
)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def quadratic(images):
    """E = |x|^2 / 2, whose score is -x."""
    return tf.reduce_sum(images**2, axis=(1, 2, 3)) / 2, -images


@pytest.mark.parametrize("shift", [0.0, 0.7, 2.0])
def test_area_of_shifted_gaussians(shift):
    """Phi(shift / sqrt 2); the area's variance is below A (1 - A) / n."""
    count = 4_000
    area = separation(normal(count), normal(count, 1) + shift)["auroc"]
    expected = stats.norm.cdf(shift / 2**0.5)
    assert area == pytest.approx(expected, abs=4 * (expected * (1 - expected) / count) ** 0.5)


def test_area_of_wider_gaussians_by_a_quadratic_energy():
    """|x|^2 is chi-squared: the area is P(t^2 chi' > chi), chi / chi' a variable of law F."""
    count, shape, scale = 4_000, (4, 4, 1), 1.2
    sets = (normal((count, *shape)), scale * normal((count, *shape), 1))
    inliers, outliers = (outlier_scores(quadratic, images, 0.1) for images in sets)
    expected = stats.f.cdf(scale**2, 16, 16)
    tolerance = 4 * (expected * (1 - expected) / count) ** 0.5
    for name in ("energy", "gradient_norm", "noise_level"):
        area = separation(inliers[name], outliers[name])["auroc"]
        assert area == pytest.approx(expected, abs=tolerance), name


def test_precision_at_its_ends():
    """1 where all outliers score higher, their share where the score knows nothing."""
    assert separation(np.arange(5.0), np.arange(5.0) + 9) == {"auroc": 1.0, "aupr": 1.0}
    assert separation(np.arange(5.0) + 9, np.arange(5.0))["auroc"] == 0.0
    count = 4_000
    blind = separation(normal(3 * count), normal(count, 1))
    assert blind["aupr"] == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / count) ** 0.5)


def test_scores_of_a_quadratic_energy():
    """The noise level is the gradient norm in other units; batches make no difference."""
    images = np.random.default_rng(0).integers(0, 256, (21, 3, 4, 2), np.uint8)
    found = outlier_scores(quadratic, images, sigma0=0.3, batch_size=8)
    norms = np.linalg.norm(images.reshape(21, -1) / 255, axis=1)
    np.testing.assert_allclose(found["gradient_norm"], norms, rtol=1e-6)
    np.testing.assert_allclose(found["energy"], norms**2 / 2, rtol=1e-6)
    np.testing.assert_allclose(found["noise_level"], 0.09 * norms / 24**0.5, rtol=1e-6)
    whole = outlier_scores(quadratic, images, sigma0=0.3)
    for name, values in found.items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-6, err_msg=name)


def test_random_images_follow_from_their_seed():
    images = np.zeros((2_000, 2, 2, 3), np.uint8)
    for make in (uniform_noise, constant):
        made = make(images, 7)
        assert made.dtype == np.float32
        assert made.shape == images.shape
        np.testing.assert_array_equal(made, make(images, 7))
        assert (made != make(images, 8)).any()
        assert stats.kstest(made[:, 0, 0, 0], "uniform").pvalue > 1e-4
    assert (constant(images, 7).std(axis=(1, 2)) == 0).all()
    assert (uniform_noise(images, 7).std(axis=(1, 2)) > 0).all()


def test_upside_down():
    images = normal((2, 3, 4, 1))
    np.testing.assert_array_equal(flipped(images)[:, 0], images[:, 2])
    np.testing.assert_array_equal(flipped(flipped(images)), images)


def test_every_patch_moves_and_none_is_lost():
    images = np.arange(9 * 8 * 12 * 3).reshape(9, 8, 12, 3)
    moved = shuffled_patches(images, 4, seed=0)

    def patches(array):
        return array.reshape(9, 2, 4, 3, 4, 3).swapaxes(2, 3).reshape(9, 6, -1)

    ours, theirs = patches(images), patches(moved)
    assert (ours != theirs).all()
    np.testing.assert_array_equal(np.sort(theirs[..., 0]), ours[..., 0])
    np.testing.assert_array_equal(theirs - theirs[..., :1], ours - ours[..., :1])
    np.testing.assert_array_equal(moved, shuffled_patches(images, 4, seed=0))
    assert (moved != shuffled_patches(images, 4, seed=1)).any()
    orders = {tuple(image) for image in theirs[..., 0] - ours[:, :1, 0]}
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: separation(np.zeros(0), np.ones(3)), "inliers"),
        (lambda: separation(np.ones(3), np.array([1.0, np.nan])), "outliers"),
        (lambda: outlier_scores(quadratic, normal((0, 2, 2, 1)), 0.1), "images"),
        (lambda: shuffled_patches(normal((1, 4, 4, 1)), 3, 0), "patch"),
        (lambda: shuffled_patches(normal((1, 4, 4, 1)), 4, 0), "patch"),
        (lambda: shuffled_patches(normal((1, 4, 4, 1)), 0, 0), "patch"),
    ],
)
def test_what_cannot_be_is_refused(call, field):
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert caught.value.field == field
