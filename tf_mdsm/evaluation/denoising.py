"""Denoising at known noise levels: how near D(x) comes, and what noise level it sees."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from skimage import restoration

from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.image_quality import psnr

__all__ = ["STANDARD_DENOISERS", "add_noise", "denoising_rows", "standard_rows"]

# scikit-image's methods of a noisy image [H, W, C] and its noise level, which they are told
# and D(x) is not. The factors are those that did best on digits and garments over 0.05 … 3;
# non-local means leads at small levels, total variation at large ones, wavelets nowhere.
STANDARD_DENOISERS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
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
    """What a blind denoiser makes of noisy images, one row a noise level.

    Args:
        denoise_fn: D, float32 [B, H, W, C] to the same, not clipped.
        images: clean ones, uint8 or float in [0, 1], [N, H, W, C].
        sigmas: noise levels, in pixel units, [K].
        seed: of the noise, which is the same at every level but for its size.
        batch_size: images at a time; the noise does not depend on it.

    Returns:
        rows of `sigma`; `residual`, the mean of |x - D(x + sigma z)|^2 / (d sigma^2), 1 for a D
        that does nothing (for the paper's loss: its value at this level, a pixel);
        `psnr` of D and `noisy_psnr` of its input, both clipped to [0, 1], mean in decibels;
        `noise_level` and `noise_level_std`, mean and standard deviation over the images of
        the estimated level |y - D(y)| / sqrt(d), y = x + sigma z.

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


def standard_rows(images: np.ndarray, sigmas: np.ndarray, seed: int = 0) -> list[dict[str, float]]:
    """The same noisy images by `STANDARD_DENOISERS`, which are told the noise level.

    Args:
        images: clean ones, uint8 or float in [0, 1], [N, H, W, C].
        sigmas: noise levels, in pixel units, [K].
        seed: as `denoising_rows` has it, for the same noise.

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
        for name, method in STANDARD_DENOISERS.items():
            # One method drops the axis of a single channel.
            restored = [method(image, float(sigma)).reshape(image.shape) for image in noisy]
            row[name] = float(psnr(clean, np.stack(restored)).mean())
        rows.append(row)
    return rows


def add_noise(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """x + sigma z with z ~ N(0, I) that depends on the seed and the images' shape alone."""
    noise = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
    return images + np.float32(sigma) * noise


def _clean(images: np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    if np.ndim(images) != 4 or not len(images):
        raise InvalidArgument("images", "be [N, H, W, C], at least one", list(np.shape(images)))
    if not np.size(sigmas) or not np.min(sigmas) > 0:
        raise InvalidArgument("sigmas", "be positive, at least one", list(sigmas))
    return to_float(tf.constant(images)).numpy()


def _mean_squares(values: np.ndarray) -> np.ndarray:
    """Over the pixels of each image, float64 [N]."""
    return np.mean(np.square(values, dtype=np.float64), axis=(1, 2, 3))
