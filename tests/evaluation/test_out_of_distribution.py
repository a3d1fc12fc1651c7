"""Out-of-distribution detection: AUROC and AUPR against closed forms; images to detect."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.out_of_distribution import (
    constant_images,
    detection_metrics,
    detection_scores,
    shuffled_patches,
    uniform_noise,
    upside_down,
)


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def quadratic(images):
    """E = |x|^2 / 2, whose score is -x."""
    return tf.reduce_sum(images**2, axis=(1, 2, 3)) / 2, -images


@pytest.mark.parametrize("shift", [0.0, 0.7, 2.0])
def test_area_of_shifted_gaussians(shift):
    """AUROC is Phi(shift / sqrt 2); the variance of an area A is below A (1 - A) / n."""
    count = 4_000
    area = detection_metrics(normal(count), normal(count, 1) + shift)["auroc"]
    expected = stats.norm.cdf(shift / 2**0.5)
    assert area == pytest.approx(expected, abs=4 * (expected * (1 - expected) / count) ** 0.5)


def test_area_of_wider_gaussians_by_a_quadratic_energy():
    """|x|^2 is chi-squared: the area is P(t^2 chi' > chi), and chi / chi' has an F distribution."""
    count, shape, scale = 4_000, (4, 4, 1), 1.2
    sets = (normal((count, *shape)), scale * normal((count, *shape), 1))
    inliers, outliers = (detection_scores(quadratic, images, 0.1) for images in sets)
    expected = stats.f.cdf(scale**2, 16, 16)
    tolerance = 4 * (expected * (1 - expected) / count) ** 0.5
    for name in ("energy", "gradient_norm", "noise_level"):
        area = detection_metrics(inliers[name], outliers[name])["auroc"]
        assert area == pytest.approx(expected, abs=tolerance), name


def test_aupr_of_perfect_and_of_random_scores():
    """1 if all outliers score higher; the fraction of outliers if scores are random."""
    assert detection_metrics(np.arange(5.0), np.arange(5.0) + 9) == {"auroc": 1.0, "aupr": 1.0}
    assert detection_metrics(np.arange(5.0) + 9, np.arange(5.0))["auroc"] == 0.0
    count = 4_000
    random = detection_metrics(normal(3 * count), normal(count, 1))
    assert random["aupr"] == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / count) ** 0.5)


def test_scores_of_a_quadratic_energy():
    """The noise level is the gradient norm in other units; scores do not depend on batches."""
    images = np.random.default_rng(0).integers(0, 256, (21, 3, 4, 2), np.uint8)
    scores = detection_scores(quadratic, images, sigma0=0.3, batch_size=8)
    norms = np.linalg.norm(images.reshape(21, -1) / 255, axis=1)
    np.testing.assert_allclose(scores["gradient_norm"], norms, rtol=1e-6)
    np.testing.assert_allclose(scores["energy"], norms**2 / 2, rtol=1e-6)
    np.testing.assert_allclose(scores["noise_level"], 0.09 * norms / 24**0.5, rtol=1e-6)
    in_one_batch = detection_scores(quadratic, images, sigma0=0.3)
    for name, values in scores.items():
        np.testing.assert_allclose(values, in_one_batch[name], rtol=1e-6, err_msg=name)


def test_random_images_depend_on_their_seed():
    images = np.zeros((2_000, 2, 2, 3), np.uint8)
    for generate in (uniform_noise, constant_images):
        generated = generate(images, 7)
        assert generated.dtype == np.float32
        assert generated.shape == images.shape
        np.testing.assert_array_equal(generated, generate(images, 7))
        assert (generated != generate(images, 8)).any()
        assert stats.kstest(generated[:, 0, 0, 0], "uniform").pvalue > 1e-4
    assert (constant_images(images, 7).std(axis=(1, 2)) == 0).all()
    red, green, _ = constant_images(np.zeros((20, 2, 2, 3)), 7)[:, 0, 0].T
    assert (red != green).all()
    assert (uniform_noise(images, 7).std(axis=(1, 2)) > 0).all()


def test_upside_down():
    images = normal((2, 3, 4, 1))
    np.testing.assert_array_equal(upside_down(images)[:, 0], images[:, 2])
    np.testing.assert_array_equal(upside_down(upside_down(images)), images)


def test_every_patch_moves_and_appears_once():
    images = np.arange(9 * 8 * 12 * 3).reshape(9, 8, 12, 3)
    moved = shuffled_patches(images, 4, seed=0)

    def patches(array):
        return array.reshape(9, 2, 4, 3, 4, 3).swapaxes(2, 3).reshape(9, 6, -1)

    before, after = patches(images), patches(moved)
    assert (before != after).all()
    np.testing.assert_array_equal(np.sort(after[..., 0]), before[..., 0])
    np.testing.assert_array_equal(after - after[..., :1], before - before[..., :1])
    np.testing.assert_array_equal(moved, shuffled_patches(images, 4, seed=0))
    assert (moved != shuffled_patches(images, 4, seed=1)).any()
    orders = {tuple(image) for image in after[..., 0] - before[:, :1, 0]}
    assert len(orders) > 1


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: detection_metrics(np.zeros(0), np.ones(3)), "inliers"),
        (lambda: detection_metrics(np.ones(3), np.array([1.0, np.nan])), "outliers"),
        (lambda: detection_scores(quadratic, normal((0, 2, 2, 1)), 0.1), "images"),
        (lambda: shuffled_patches(normal((1, 4, 4, 1)), 3, 0), "patch"),
        (lambda: shuffled_patches(normal((1, 4, 4, 1)), 4, 0), "patch"),
        (lambda: shuffled_patches(normal((1, 4, 4, 1)), 0, 0), "patch"),
    ],
)
def test_wrong_arguments_are_refused(call, field):
    with pytest.raises(InvalidArgument) as caught:
        call()
    assert caught.value.field == field


def test_without_a_denoiser_there_is_no_noise_level():
    images = np.full((3, 2, 2, 1), 0.5, np.float32)
    assert detection_scores(quadratic, images, sigma0=None).keys() == {"energy", "gradient_norm"}
