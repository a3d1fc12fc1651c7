"""Denoising: Gaussian images, whose best denoiser and its errors are known; standard methods."""

import numpy as np
import pytest
from scipy.special import digamma

from tf_mdsm.datasets.synthetic import blobs
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.denoising import STANDARD_DENOISERS, denoising_rows, standard_rows

SPREAD, COUNT, SHAPE = 0.02, 400, (4, 4, 1)
PIXELS = 16


@pytest.fixture(scope="module")
def images():
    noise = np.random.default_rng(1).standard_normal((COUNT, *SHAPE)).astype(np.float32)
    return np.float32(0.5) + np.float32(SPREAD) * noise


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.07])
def test_the_best_denoiser_of_gaussian_images(images, sigma):
    """D(y) = 1/2 + s^2 / (s^2 + sigma^2) (y - 1/2) leaves s^2 sigma^2 / (s^2 + sigma^2) a pixel
    and moves y by sigma^2 / sqrt(s^2 + sigma^2); s is so small that nothing is clipped."""
    total = SPREAD**2 + sigma**2
    (row,) = denoising_rows(lambda y: 0.5 + SPREAD**2 / total * (y - 0.5), images, [sigma])
    one_sum = 4 * (2 / (COUNT * PIXELS)) ** 0.5
    assert row["residual"] == pytest.approx(SPREAD**2 / total, rel=one_sum)
    # The mean logarithm of chi-squared / d is below 0, by digamma.
    below = digamma(PIXELS / 2) + np.log(2 / PIXELS)
    for name, error in (("psnr", SPREAD**2 * sigma**2 / total), ("noisy_psnr", sigma**2)):
        expected = -10 / np.log(10) * (np.log(error) + below)
        spread = 10 / np.log(10) * (2 / PIXELS / COUNT) ** 0.5
        assert row[name] == pytest.approx(expected, abs=5 * spread), name
    level = sigma**2 / total**0.5
    # The root of chi-squared / d: mean about 1 - 1/4d, standard deviation about 1 / sqrt(2d).
    assert row["noise_level"] == pytest.approx(level * (1 - 1 / (4 * PIXELS)), rel=one_sum)
    assert row["noise_level_std"] == pytest.approx(level / (2 * PIXELS) ** 0.5, rel=0.2)


def test_a_denoiser_that_does_nothing(images):
    sigma = 0.05
    (row,) = denoising_rows(lambda y: y, images, [sigma])
    assert row["residual"] == pytest.approx(1, rel=4 * (2 / (COUNT * PIXELS)) ** 0.5)
    assert row["psnr"] == row["noisy_psnr"]
    assert row["noise_level"] == row["noise_level_std"] == 0


def test_the_noise_follows_from_the_seed_alone(images):
    """And not from the batch, nor from which other levels are asked for."""

    def rows(sigmas, **options):
        return denoising_rows(lambda y: 0.9 * y, images, sigmas, **options)

    whole = rows([0.01, 0.1], seed=3)
    assert rows([0.01, 0.1], seed=3, batch_size=37) == whole
    assert rows([0.1], seed=3) == whole[1:]
    assert rows([0.1], seed=4) != whole[1:]


def test_standard_methods_take_noise_away():
    """From the same noisy images, at the levels where each does best; uint8 as well."""
    images = blobs(12, 16, 1)
    sigmas = [0.1, 0.5]
    noisy = [row["noisy_psnr"] for row in denoising_rows(lambda y: y, images, sigmas)]
    found = standard_rows(images, sigmas)
    assert [row["sigma"] for row in found] == sigmas
    for name in STANDARD_DENOISERS:
        for row, before in zip(found, noisy, strict=True):
            assert row[name] > before + 1, (name, row["sigma"])
    assert standard_rows(images, sigmas) == found
    colours = np.round(255 * blobs(2, 16, 3)).astype(np.uint8)
    (row,) = standard_rows(colours, [0.2])
    assert all(np.isfinite(list(row.values())))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"images": np.zeros((0, *SHAPE), np.float32)}, "images"),
        ({"images": np.zeros((3, 4), np.float32)}, "images"),
        ({"sigmas": []}, "sigmas"),
        ({"sigmas": [0.1, 0.0]}, "sigmas"),
    ],
)
def test_what_cannot_be_is_refused(images, changes, field):
    for call in (lambda **given: denoising_rows(lambda y: y, **given), standard_rows):
        with pytest.raises(InvalidArgument) as caught:
            call(**{"images": images, "sigmas": [0.1], **changes})
        assert caught.value.field == field
