"""A bound of the likelihood by the ancestral chain: one gradient an image and noise level.

The ancestral Euler sampler is a model with latent variables, whatever its denoiser D is: noisy
images x_0 … x_N at falling levels sigma_0 … sigma_N, and an image at the end. Its evidence bound is

    -log P(x) <=  KL[N(x, sigma_0^2 I) || start]
                + sum_i  1/2 (1 / sigma_{i+1}^2 - 1 / sigma_i^2)  E |x - D(x + sigma_i z)|^2
                - E log P(x | D(x + sigma_N z))

Source: Kingma et al. 2021, "Variational diffusion models", equations 11 to 15, with D for the
guess of the clean image. A denoiser that knows its level is not needed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.pixel_decoder import PixelDecoder
from tf_mdsm.evaluation.likelihood.start_density import StartDensity

__all__ = [
    "ChainBound",
    "ChainTerms",
    "NoisyGuesses",
    "choose_levels",
    "log_normal_density",
    "squared_norms",
]

# Levels to choose from, on a geometric grid.
_GRID = 513


class NoisyGuesses:
    """Guesses of images from noisy versions of them, compiled; the noise follows from seeds.

    Args:
        denoise: D, from images, float32 [B, H, W, C], to images.
        image_shape: height, width, channels.
    """

    def __init__(self, denoise: Callable[[tf.Tensor], tf.Tensor], image_shape: tuple[int, ...]):
        def guess(images, sigma, number, seeds):
            noise = randomness.normal(seeds, (number, 0), "likelihood", image_shape)
            noisy = images + sigma * noise
            return noisy, denoise(noisy)

        images = tf.TensorSpec([None, *image_shape], tf.float32)
        scalars = [tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.int64)]
        seeds = tf.TensorSpec([None], tf.int64)
        self._guess: Any = tf.function(
            guess, input_signature=[images, *scalars, seeds], autograph=False
        )

    def at_level(
        self, images: np.ndarray, sigma: float, number: int, seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Noisy images x + sigma z and the guesses D(x + sigma z), float32 [B, H, W, C] each.

        Args:
            images: clean images x in [0, 1], [B, H, W, C].
            sigma: the noise level.
            number: number of the draw: each has noise of its own.
            seeds: seeds of the images, int64 [B].
        """
        noisy, guesses = self._guess(
            tf.constant(images, tf.float32),
            tf.constant(sigma, tf.float32),
            tf.constant(number, tf.int64),
            tf.constant(seeds, tf.int64),
        )
        return noisy.numpy(), guesses.numpy()


def squared_norms(images: np.ndarray) -> np.ndarray:
    """Sums of squares over the values of each image [B, H, W, C], [B]."""
    return np.square(images).sum(axis=(1, 2, 3))


def choose_levels(sigmas: np.ndarray, errors: np.ndarray, num_levels: int) -> np.ndarray:
    """The falling noise levels that make the sum over levels of the bound smallest.

    The sum is one of rectangles below a falling curve: with u = 1 / sigma^2 it is
    sum_i 1/2 (u_{i+1} - u_i) e(u_i), where e is the squared error. Of a grid of levels, dynamic
    programming finds the best.

    Args:
        sigmas: noise levels at which errors are known, falling, [M].
        errors: mean squared error |x - D|^2 at each, [M].
        num_levels: number of levels to choose, at least 2; the first and the last of `sigmas` are
            among them.

    Returns:
        falling levels, float64 [num_levels].

    Raises:
        InvalidArgument: for fewer than 2 levels, or more than there are on the grid.
    """
    if not 2 <= num_levels <= _GRID:
        raise InvalidArgument("num_levels", f"lie in [2, {_GRID}]", num_levels)
    grid = np.geomspace(sigmas[0], sigmas[-1], _GRID)
    logs = np.interp(-np.log(grid), -np.log(sigmas), np.log(np.maximum(errors, 1e-30)))
    errors_on_grid, u = np.exp(logs), grid**-2.0
    # cost[i, j]: the term of a step from level i of the grid to level j > i.
    cost = 0.5 * (u[None, :] - u[:, None]) * errors_on_grid[:, None]
    cost[np.tril_indices(_GRID)] = np.inf
    best = np.full(_GRID, np.inf)
    best[0] = 0.0
    origins = []
    for _ in range(num_levels - 1):
        totals = best[:, None] + cost
        origins.append(totals.argmin(axis=0))
        best = totals.min(axis=0)
    path = [_GRID - 1]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return grid[path[::-1]]


@dataclasses.dataclass(frozen=True)
class ChainTerms:
    """The terms of the bound of -log P of some images, in nats.

    Attributes:
        start: log N(z; x, sigma_0^2 I) - log start(z) at one draw z of each image, float64 [N].
        levels: the term of each step from one level to the next, float64 [N, num_levels - 1].
        decoding: -log P(x | D(x + sigma_N z)), float64 [N].
    """

    start: np.ndarray
    levels: np.ndarray
    decoding: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """The bound of -log P(x) of each image, float64 [N]."""
        return self.start + self.levels.sum(axis=1) + self.decoding


@dataclasses.dataclass(frozen=True)
class ChainBound:
    """The bound of -log P(x) by the ancestral chain at some levels, with one draw of each noise.

    Attributes:
        guesses: the denoiser.
        density: of the points at which the chain starts, at the first level.
        sigmas: falling levels, [n]; the first is that of the start.
        decoder: of the image at the end.
    """

    guesses: NoisyGuesses
    density: StartDensity
    sigmas: np.ndarray
    decoder: PixelDecoder

    def terms(self, images: np.ndarray, seeds: np.ndarray) -> ChainTerms:
        """The terms of the bound for images in [0, 1], [N, H, W, C], with seeds [N]."""
        clean = np.asarray(images, np.float64)
        steps = np.diff(np.asarray(self.sigmas, np.float64) ** -2.0)
        first, levels, guess = clean, [], clean
        for number, sigma in enumerate(self.sigmas):
            noisy, guess = self.guesses.at_level(images, sigma, number, seeds)
            if number == 0:
                first = noisy
            if number < len(steps):
                levels.append(0.5 * steps[number] * squared_norms(clean - guess))
        return ChainTerms(
            start=log_normal_density(first, clean, self.sigmas[0])
            - self.density.log_density(first),
            levels=np.stack(levels, axis=1),
            decoding=-self.decoder.log_probability(clean, guess),
        )


def log_normal_density(noisy: np.ndarray, images: np.ndarray, sigma: float) -> np.ndarray:
    """log N(noisy; images, sigma^2 I) of images [N, H, W, C], float64 [N]."""
    size = images[0].size
    squares = squared_norms(np.asarray(noisy, np.float64) - images)
    return -0.5 * (squares / sigma**2 + size * np.log(2 * np.pi * sigma**2))
