"""Denoising: the best denoiser of Gaussian images, whose errors are known; baseline methods."""

import numpy as np
import pytest
from scipy.special import digamma

from tf_mdsm.datasets.synthetic import blobs
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.denoising import BASELINE_DENOISERS, baseline_rows, denoising_rows

SPREAD, COUNT, SHAPE = 0.02, 400, (4, 4, 1)


PIXELS = 16


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng(1).standard_normal((COUNT, *SHAPE)).astype(np.float32)
    return np.float32(0.5) + np.float32(SPREAD) * noise


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.07])
def test_the_best_denoiser_of_gaussian_images(images, sigma):
    """D(y) = 1/2 + s^2 / (s^2 + sigma^2) (y - 1/2), with s so small that nothing is clipped.

    The mean square error of a pixel is s^2 sigma^2 / (s^2 + sigma^2), and D moves y by
    sigma^2 / sqrt(s^2 + sigma^2).
    """
    total = SPREAD**2 + sigma**2
    (row,) = denoising_rows(lambda y: 0.5 + SPREAD**2 / total * (y - 0.5), images, [sigma])
    tolerance = 4 * (2 / (COUNT * PIXELS)) ** 0.5
    assert row["residual"] == pytest.approx(SPREAD**2 / total, rel=tolerance)
    # The mean logarithm of chi-squared / d is below 0.
    mean_log = digamma(PIXELS / 2) + np.log(2 / PIXELS)
    for name, error in (("psnr", SPREAD**2 * sigma**2 / total), ("noisy_psnr", sigma**2)):
        expected = -10 / np.log(10) * (np.log(error) + mean_log)
        spread = 10 / np.log(10) * (2 / PIXELS / COUNT) ** 0.5
        assert row[name] == pytest.approx(expected, abs=5 * spread), name
    level = sigma**2 / total**0.5
    # The root of chi-squared / d has mean 1 - 1/4d and standard deviation 1 / sqrt(2d), nearly.
    assert row["noise_level"] == pytest.approx(level * (1 - 1 / (4 * PIXELS)), rel=tolerance)
    assert row["noise_level_std"] == pytest.approx(level / (2 * PIXELS) ** 0.5, rel=0.2)


def test_a_denoiser_that_does_nothing(images):
    sigma = 0.05
    (row,) = denoising_rows(lambda y: y, images, [sigma])
    assert row["residual"] == pytest.approx(1, rel=4 * (2 / (COUNT * PIXELS)) ** 0.5)
    assert row["psnr"] == row["noisy_psnr"]
    assert row["noise_level"] == row["noise_level_std"] == 0


def test_the_noise_depends_on_the_seed_only(images):
    """Neither on the batch size nor on the other levels."""

    def rows(sigmas, **options):
        return denoising_rows(lambda y: 0.9 * y, images, sigmas, **options)

    two_levels = rows([0.01, 0.1], seed=3)
    assert rows([0.01, 0.1], seed=3, batch_size=37) == two_levels
    assert rows([0.1], seed=3) == two_levels[1:]
    assert rows([0.1], seed=4) != two_levels[1:]


def test_baseline_methods_remove_noise():
    """At least 1 dB at two levels, on the noisy images of D; floats have the numbers of bytes."""
    images = blobs(12, 16, 1)
    sigmas = [0.1, 0.5]
    noisy = [row["noisy_psnr"] for row in denoising_rows(lambda y: y, images, sigmas)]
    denoised = baseline_rows(images, sigmas)
    assert [row["sigma"] for row in denoised] == sigmas
    for name in BASELINE_DENOISERS:
        for row, before in zip(denoised, noisy, strict=True):
            assert row[name] > before + 1, (name, row["sigma"])
    assert baseline_rows(images, sigmas) == denoised
    colors = blobs(2, 16, 3)
    (row,), (of_floats,) = (
        baseline_rows(pixels, [0.2]) for pixels in (colors, colors / np.float32(255))
    )
    assert all(np.isfinite(list(row.values())))
    assert of_floats == pytest.approx(row, rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"images": np.zeros((0, *SHAPE), np.float32)}, "images"),
        ({"images": np.zeros((3, 4), np.float32)}, "images"),
        ({"sigmas": []}, "sigmas"),
        ({"sigmas": [0.1, 0.0]}, "sigmas"),
    ],
)
def test_wrong_arguments_are_refused(images, changes, field):
    for call in (lambda **options: denoising_rows(lambda y: y, **options), baseline_rows):
        with pytest.raises(InvalidArgument) as caught:
            call(**{"images": images, "sigmas": [0.1], **changes})
        assert caught.value.field == field
