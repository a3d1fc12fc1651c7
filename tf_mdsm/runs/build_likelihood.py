"""From `config.likelihood` to bounds of the likelihood of images, fitted to training images."""

import dataclasses
import math

import numpy as np

from tf_mdsm.config.rules import likelihood_sigmas
from tf_mdsm.datasets.pixels import to_float_array
from tf_mdsm.errors import errors_in_group
from tf_mdsm.evaluation.likelihood.bits_per_dim import count_gray_levels
from tf_mdsm.evaluation.likelihood.chain_bound import (
    ChainBound,
    NoisyGuesses,
    choose_levels,
    squared_norms,
)
from tf_mdsm.evaluation.likelihood.flow import FlowBound, FlowDensity
from tf_mdsm.evaluation.likelihood.pixel_decoder import PixelDecoder, fit_decoder
from tf_mdsm.evaluation.likelihood.start_density import StartDensity
from tf_mdsm.runs.build_method import build_start
from tf_mdsm.runs.loaded_run import LoadedRun
from tf_mdsm.system.batchwise import batchwise

__all__ = ["Fit", "build_bound", "fit_to_images"]

# Training images to which levels and decoder are fitted, and noise levels at which their errors
# are measured.
_NUM_IMAGES, _NUM_LEVELS = 256, 33

# Images with at most so many values get their exact Laplacian by default.
_EXACT_SIZE = 64

# The noise of these images is numbered from here, apart from that of the bounds themselves.
_FIRST_DRAW = 2**20


@dataclasses.dataclass(frozen=True)
class Fit:
    """What a bound of likelihood needs besides the model: fitted to training images.

    Attributes:
        sigmas: the noise levels of the ancestral chain, falling, float64 [n].
        decoder: of the image at the end.
    """

    sigmas: np.ndarray
    decoder: PixelDecoder


def fit_to_images(run: LoadedRun, training: np.ndarray, validation: np.ndarray) -> Fit:
    """Fits levels and decoder to training images; of validation images the gray levels count.

    Args:
        run: the loaded run.
        training: its training images, [N, H, W, C].
        validation: its validation images, [N, H, W, C].
    """
    settings = run.config.likelihood
    images = to_float_array(training[:: -(-len(training) // _NUM_IMAGES)])
    seeds = settings.seed + np.arange(len(images))
    guesses = NoisyGuesses(run.model.denoise, run.image_shape)
    density = _start_density(run)
    _, last = likelihood_sigmas(run.config)
    grid = np.geomspace(density.sigma, last, _NUM_LEVELS)

    def guess(number: int) -> np.ndarray:
        def of_batch(batch: np.ndarray, seeds: np.ndarray) -> np.ndarray:
            return guesses.at_level(batch, grid[number], _FIRST_DRAW + number, seeds)[1]

        return batchwise(of_batch, images, seeds, batch_size=settings.batch_size)

    errors = [squared_norms(images - guess(number)).mean() for number in range(_NUM_LEVELS)]
    with errors_in_group("config.likelihood"):
        sigmas = choose_levels(grid, np.array(errors), settings.num_levels)
    gray_levels = count_gray_levels(training, validation)
    decoder = fit_decoder(images, guess(_NUM_LEVELS - 1), gray_levels=gray_levels)
    return Fit(sigmas, decoder)


def build_bound(method: str, run: LoadedRun, fit: Fit) -> ChainBound | FlowBound:
    """The bound "bound" or "flow" of a run's likelihood.

    Raises:
        InvalidArgument: for a start whose density is not known.
    """
    settings, model = run.config.likelihood, run.model
    guesses, density = NoisyGuesses(model.denoise, run.image_shape), _start_density(run)
    if method == "bound":
        return ChainBound(guesses, density, fit.sigmas, fit.decoder)
    with errors_in_group("config.likelihood"):
        flow = FlowDensity(
            model,
            density,
            run.image_shape,
            sigma0=model.noise.sigma0,
            sigma_min=likelihood_sigmas(run.config)[1],
            num_probes=settings.num_probes or int(math.prod(run.image_shape) > _EXACT_SIZE),
            tolerance=settings.flow_tolerance,
        )
    return FlowBound(guesses, flow, fit.decoder)


def _start_density(run: LoadedRun) -> StartDensity:
    """The density of the start of `config.sampling`."""
    config = run.config
    sigma, _ = likelihood_sigmas(config)
    start = build_start(config, run.statistics, sigma, isotropic_sigma=sigma)
    with errors_in_group("config.sampling"):
        return StartDensity(start, run.image_shape)
