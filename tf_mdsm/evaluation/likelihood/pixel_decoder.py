"""Probability of an image given a guess of it: a Gaussian of each pixel, in cells of gray levels.

The last step of a likelihood of images with gray levels (Ho et al. 2020, "Denoising diffusion
probabilistic models", equation 13).
"""

import dataclasses
import math

import numpy as np
from scipy import optimize, special

from tf_mdsm.errors import InvalidArgument

__all__ = ["PixelDecoder", "fit_decoder"]

# Bounds of a standard deviation that is fitted, in pixel units.
_SMALLEST_STD, _LARGEST_STD = 1e-4, 1.0


@dataclasses.dataclass(frozen=True)
class PixelDecoder:
    """P(x | guess), the product over pixels of N(guess, std^2) in the cell of the pixel's level.

    A cell reaches half way to the neighbouring levels; those of black and white reach to infinity.
    Of images without gray levels it is the density N(x; guess, std^2).

    Attributes:
        stds: standard deviation of each channel, in pixel units, [C].
        gray_levels: number n of the gray levels k / (n - 1); None if there are none.
    """

    stds: np.ndarray
    gray_levels: int | None

    def log_probability(self, images: np.ndarray, guesses: np.ndarray) -> np.ndarray:
        """log P of images in [0, 1] given guesses, both [N, H, W, C]; float64 [N], in nats."""
        images, guesses = np.asarray(images, np.float64), np.asarray(guesses, np.float64)
        logs = _log_probabilities(images, guesses, np.asarray(self.stds), self.gray_levels)
        return logs.sum(axis=(1, 2, 3))


def fit_decoder(
    images: np.ndarray, guesses: np.ndarray, *, gray_levels: int | None
) -> PixelDecoder:
    """The decoder under which some images are most probable, given guesses of them.

    Args:
        images: images in [0, 1], [N, H, W, C].
        guesses: denoised images, [N, H, W, C].
        gray_levels: as of `PixelDecoder`.

    Raises:
        InvalidArgument: if there are no images.
    """
    if not len(images):
        raise InvalidArgument("images", "hold at least one image", "none")
    images, guesses = np.asarray(images, np.float64), np.asarray(guesses, np.float64)

    def fitted_std(channel: int) -> float:
        x, guess = images[..., channel], guesses[..., channel]
        found = optimize.minimize_scalar(
            lambda log_std: -_log_probabilities(x, guess, np.exp(log_std), gray_levels).mean(),
            bounds=(math.log(_SMALLEST_STD), math.log(_LARGEST_STD)),
            method="bounded",
            options={"xatol": 1e-4},
        )
        return math.exp(found.x)

    stds = np.array([fitted_std(channel) for channel in range(images.shape[-1])])
    return PixelDecoder(stds, gray_levels)


def _log_probabilities(
    images: np.ndarray, guesses: np.ndarray, stds: np.ndarray, gray_levels: int | None
) -> np.ndarray:
    """The log probability of every value."""
    if gray_levels is None:
        return -0.5 * ((images - guesses) / stds) ** 2 - np.log(stds * math.sqrt(2 * math.pi))
    last = gray_levels - 1
    level = np.rint(images * last)
    above = np.where(level == last, np.inf, ((level + 0.5) / last - guesses) / stds)
    below = np.where(level == 0, -np.inf, ((level - 0.5) / last - guesses) / stds)
    # Where both walls lie above the guess, the mirror image of the cell has accurate tails.
    mirrored = below > 0
    low, high = np.where(mirrored, -above, below), np.where(mirrored, -below, above)
    log_high = special.log_ndtr(high)
    with np.errstate(divide="ignore"):
        return log_high + np.log1p(-np.exp(special.log_ndtr(low) - log_high))
