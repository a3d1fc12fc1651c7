"""Denoising at known noise levels: error and PSNR of D(x), and its estimate of the noise level."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from skimage import restoration

from tf_mdsm.datasets.pixels import to_float_array
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.image_quality import psnr

__all__ = ["BASELINE_DENOISERS", "add_noise", "baseline_rows", "denoising_rows"]

# Methods of scikit-image, from a noisy image [H, W, C] and its noise level to a denoised image.
# Unlike D(x) they are given the noise level. The factors are the best ones for digits and
# garments over levels from 0.05 to 3. Non-local means is better at small levels, total variation
# at large ones; wavelets were better at no level.
BASELINE_DENOISERS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "non-local means": lambda image, sigma: restoration.denoise_nl_means(
        image, patch_size=5, patch_distance=6, h=0.6 * sigma, sigma=sigma, channel_axis=-1
    ),
    "total variation": lambda image, sigma: restoration.denoise_tv_chambolle(
        image, weight=0.75 * sigma, channel_axis=-1
    ),
}


def denoising_rows(
    denoise_fn: Callable[[tf.Tensor], tf.Tensor],
    images: np.ndarray,
    sigmas: np.ndarray,
    seed: int = 0,
    batch_size: int = 256,
) -> list[dict[str, float]]:
    """Denoises images of known noise levels by a blind denoiser: one row for each level.

    Args:
        denoise_fn: D, float32 [B, H, W, C] to the same, not clipped.
        images: clean images, uint8 or float in [0, 1], [N, H, W, C].
        sigmas: noise levels, in pixel units, [K].
        seed: seed of the noise z, which is the same at every level.
        batch_size: images at a time; the noise does not depend on it.

    Returns:
        rows of `sigma`; `residual`, the mean of |x - D(x + sigma z)|^2 / (d sigma^2), which is 1
        if D does nothing, and the paper's loss per pixel at this level; `psnr` of D and
        `noisy_psnr` of its input, both clipped to [0, 1], mean in decibels; `noise_level` and
        `noise_level_std`, mean and standard deviation over the images of the estimated level
        |y - D(y)| / sqrt(d), y = x + sigma z.

    Raises:
        InvalidArgument: for no images, or levels that are not positive.
    """
    clean = _clean(images, sigmas)
    rows = []
    for sigma in sigmas:
        noisy = add_noise(clean, sigma, seed)
        denoised = np.concatenate(
            [
                np.asarray(denoise_fn(tf.constant(noisy[first : first + batch_size])))
                for first in range(0, len(noisy), batch_size)
            ]
        )
        levels = np.sqrt(_mean_squares(noisy - denoised))
        rows.append(
            {
                "sigma": float(sigma),
                "residual": float(_mean_squares(clean - denoised).mean() / sigma**2),
                "psnr": float(psnr(clean, denoised).mean()),
                "noisy_psnr": float(psnr(clean, noisy).mean()),
                "noise_level": float(levels.mean()),
                "noise_level_std": float(levels.std()),
            }
        )
    return rows


def baseline_rows(images: np.ndarray, sigmas: np.ndarray, seed: int = 0) -> list[dict[str, float]]:
    """Denoises the same noisy images by `BASELINE_DENOISERS`, which are given the noise level.

    Args:
        images: clean images, uint8 or float in [0, 1], [N, H, W, C].
        sigmas: noise levels, in pixel units, [K].
        seed: seed of the noise, which is that of `denoising_rows` for the same seed.

    Returns:
        rows of `sigma` and, under each method's name, its mean PSNR in decibels, clipped.

    Raises:
        InvalidArgument: for no images, or levels that are not positive.
    """
    clean = _clean(images, sigmas)
    rows = []
    for sigma in sigmas:
        noisy = add_noise(clean, sigma, seed)
        row = {"sigma": float(sigma)}
        for name, denoise in BASELINE_DENOISERS.items():
            # One method drops the axis of a single channel.
            denoised = [denoise(image, float(sigma)).reshape(image.shape) for image in noisy]
            row[name] = float(psnr(clean, np.stack(denoised)).mean())
        rows.append(row)
    return rows


def add_noise(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Returns x + sigma z, z ~ N(0, I); z depends only on the seed and the shape of the images.

    Args:
        images: x, float [N, H, W, C].
        sigma: noise level, in pixel units.
        seed: seed of z.
    """
    noise = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
    return images + np.float32(sigma) * noise


def _clean(images: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """Clean images as float32, after a check of images and noise levels."""
    if np.ndim(images) != 4 or not len(images):
        raise InvalidArgument("images", "be [N, H, W, C], at least one", list(np.shape(images)))
    if not np.size(sigmas) or not np.min(sigmas) > 0:
        raise InvalidArgument("sigmas", "be positive, at least one", list(sigmas))
    return to_float_array(images)


def _mean_squares(values: np.ndarray) -> np.ndarray:
    """Mean square over the pixels of each image, float64 [N]."""
    return np.mean(np.square(values, dtype=np.float64), axis=(1, 2, 3))
