"""Probability of an image given a guess of it: a mixture of Gaussians of each pixel, in cells.

The last step of a likelihood of images with gray levels, as in Ho et al. 2020, "Denoising diffusion
probabilistic models", equation 13. There the Gaussian is one; here it is a mixture of Gaussians
around the guess with different widths, as guesses are exact in some parts of an image and not in
others.
"""

import dataclasses
import math

import numpy as np
from scipy import optimize, special

from tf_mdsm.errors import InvalidArgument

__all__ = ["PixelDecoder", "fit_decoder"]

# Standard deviations from which a fit chooses, in pixel units, from 2^-13 to 1. A mixture of two
# neighbours is within 1e-4 nats a value of a Gaussian between them.
_STDS = 2.0 ** np.arange(-13, 0.5, 0.5)

# Values of a channel to which weights are fitted at most.
_MAX_VALUES = 2**16

# Components of less weight in all channels are left out.
_SMALLEST_WEIGHT = 1e-6


@dataclasses.dataclass(frozen=True)
class PixelDecoder:
    """P(x | guess), the product over pixels of sum_k w_k N(guess, std_k^2) in the pixel's cell.

    A cell reaches half way to the neighbouring levels; those of black and white reach to infinity.
    Of images without gray levels it is the density sum_k w_k N(x; guess, std_k^2).

    Attributes:
        stds: standard deviations, in pixel units, [K].
        weights: weights of the components in each channel, with sum 1, [C, K].
        gray_levels: number n of the gray levels k / (n - 1); None if there are none.
    """

    stds: np.ndarray
    weights: np.ndarray
    gray_levels: int | None

    def log_probability(self, images: np.ndarray, guesses: np.ndarray) -> np.ndarray:
        """log P of images in [0, 1] given guesses, both [N, H, W, C]; float64 [N], in nats."""
        images, guesses = np.asarray(images, np.float64), np.asarray(guesses, np.float64)
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        logs = np.full(images.shape, -np.inf)
        for number, std in enumerate(self.stds):
            of_component = _log_probabilities(images, guesses, std, self.gray_levels)
            logs = np.logaddexp(logs, log_weights[:, number] + of_component)
        return logs.sum(axis=(1, 2, 3))


def fit_decoder(
    images: np.ndarray, guesses: np.ndarray, *, gray_levels: int | None
) -> PixelDecoder:
    """The decoder under which some images are most probable, given guesses of them.

    Its standard deviations are powers of the square root of 2. The log probability is concave in
    the weights of a channel, so that there is one best fit.

    Args:
        images: images in [0, 1], [N, H, W, C].
        guesses: denoised images, [N, H, W, C].
        gray_levels: as of `PixelDecoder`.

    Raises:
        InvalidArgument: if there are no images.
    """
    if not len(images):
        raise InvalidArgument("images", "hold at least one image", "none")
    values, guesses = (
        np.asarray(x, np.float64).reshape(-1, x.shape[-1]) for x in (images, guesses)
    )
    stride = -(-len(values) // _MAX_VALUES)
    logs = np.stack(
        [_log_probabilities(values[::stride], guesses[::stride], std, gray_levels) for std in _STDS]
    )
    weights = np.stack([_best_weights(logs[..., channel]) for channel in range(logs.shape[-1])])
    kept = weights.max(axis=0) > _SMALLEST_WEIGHT
    weights = weights[:, kept]
    return PixelDecoder(_STDS[kept], weights / weights.sum(axis=1, keepdims=True), gray_levels)


def _best_weights(logs: np.ndarray) -> np.ndarray:
    """Weights [K] that make the mean log of a mixture greatest: softmax of K numbers.

    Args:
        logs: log probability of each value by each component, [K, N].
    """
    largest = logs.max(axis=0)
    probabilities = np.exp(logs - largest)

    def cost(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights = special.softmax(parameters)
        mixed = weights @ probabilities
        gradient = weights * (1 - (probabilities / mixed).mean(axis=1))
        return -float(np.log(mixed).mean()), gradient

    found = optimize.minimize(cost, np.zeros(len(logs)), jac=True, method="L-BFGS-B")
    return special.softmax(found.x)


def _log_probabilities(
    images: np.ndarray, guesses: np.ndarray, std: float, gray_levels: int | None
) -> np.ndarray:
    """The log probability of every value by one Gaussian."""
    if gray_levels is None:
        return -0.5 * ((images - guesses) / std) ** 2 - np.log(std * math.sqrt(2 * math.pi))
    last = gray_levels - 1
    level = np.rint(images * last)
    above = np.where(level == last, np.inf, ((level + 0.5) / last - guesses) / std)
    below = np.where(level == 0, -np.inf, ((level - 0.5) / last - guesses) / std)
    # Where both walls lie above the guess, the mirror image of the cell has accurate tails.
    mirrored = below > 0
    low, high = np.where(mirrored, -above, below), np.where(mirrored, -below, above)
    log_high = special.log_ndtr(high)
    with np.errstate(divide="ignore"):
        return log_high + np.log1p(-np.exp(special.log_ndtr(low) - log_high))
