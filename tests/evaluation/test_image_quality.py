"""PSNR and SSIM of images whose differences are known."""

import numpy as np
import pytest

from tf_mdsm.evaluation.image_quality import psnr, psnr_and_ssim, ssim


def some_images(*shape, seed=0):
    """Images with pixels in [0, 1/2]."""
    return np.random.default_rng(seed).uniform(0, 0.5, shape).astype(np.float32)


def test_psnr_of_known_differences():
    """A difference of 0.1 everywhere is 20 dB, and each image has its own number."""
    images = some_images(2, 8, 8, 1)
    np.testing.assert_allclose(psnr(images, images + 0.1), 20, atol=1e-4)
    differences = np.float32([0.1, 0.01])[:, None, None, None]
    np.testing.assert_allclose(psnr(images, images + differences), [20, 40], atol=1e-3)
    half = images.copy()
    half[:, :4] += 0.1
    np.testing.assert_allclose(psnr(images, half), 20 + 10 * np.log10(2), atol=1e-4)
    # Equal images have a finite number.
    np.testing.assert_allclose(psnr(images, images), 120)


def test_restored_images_are_clipped():
    black, white = np.zeros((1, 8, 8, 1)), np.ones((1, 8, 8, 1))
    np.testing.assert_allclose(psnr(black, white + 5), 0, atol=1e-12)
    np.testing.assert_allclose(psnr(white, white + 5), 120)
    np.testing.assert_allclose(ssim(white, white + 5), 1)


def test_ssim_of_equal_constant_and_independent_images():
    """Of constants a and b it is (2ab + c) / (a^2 + b^2 + c) with c = 0.01^2."""
    images = some_images(2, 8, 8, 1)
    np.testing.assert_allclose(ssim(images, images), 1)
    assert (ssim(images, images[::-1]) < 0.5).all()
    a, b, c = 0.3, 0.7, 0.01**2
    constants = [np.full((1, 9, 9, 3), gray) for gray in (a, b)]
    np.testing.assert_allclose(ssim(*constants), (2 * a * b + c) / (a**2 + b**2 + c), rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 4), (7, 5), (3, 12)])
def test_small_images_have_a_smaller_window(shape):
    images = some_images(1, *shape, 1)
    np.testing.assert_allclose(ssim(images, images), 1)


def test_ssim_of_one_window():
    """Images of 7 x 7 pixels: Wang et al. 2004, with unbiased variances, K1 = 0.01, K2 = 0.03."""
    x, y = np.random.default_rng(0).uniform(size=(2, 1, 7, 7, 1))
    covariance = np.cov(x.ravel(), y.ravel())
    means = 2 * x.mean() * y.mean() + 1e-4, x.mean() ** 2 + y.mean() ** 2 + 1e-4
    expected = means[0] * (2 * covariance[0, 1] + 9e-4) / (means[1] * (np.trace(covariance) + 9e-4))
    assert ssim(x, y) == pytest.approx([expected])


def test_the_numbers_of_several_methods():
    """Means over the images, and the rounded number of each image."""
    images = some_images(3, 8, 8, 1)
    methods = {"nothing": images + 0.1, "other": images[::-1]}
    quality = psnr_and_ssim(images, methods)
    assert quality.keys() == methods.keys()
    for name, restored in methods.items():
        each = quality[name]
        assert each["psnr"] == pytest.approx(psnr(images, restored).mean())
        assert each["ssim"] == pytest.approx(ssim(images, restored).mean())
        np.testing.assert_allclose(each["psnr_of_each"], psnr(images, restored), atol=6e-4)
        np.testing.assert_allclose(each["ssim_of_each"], ssim(images, restored), atol=6e-5)
