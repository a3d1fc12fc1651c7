"""From `config.likelihood` to bounds of the likelihood of images, fitted to training images."""

import dataclasses
import glob
import logging
import math
import os
from typing import Any

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.datasets.pixels import to_float
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
from tf_mdsm.evaluation.likelihood_section import is_of, load_likelihood
from tf_mdsm.runs.build_method import build_start
from tf_mdsm.runs.image_record import image_key
from tf_mdsm.runs.loaded_run import LoadedRun
from tf_mdsm.system.batchwise import batchwise

__all__ = ["Fit", "build_bound", "find_likelihood", "fit_to_images", "likelihood_provenance"]

_LOGGER = logging.getLogger(__name__)

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


def likelihood_provenance(run: LoadedRun) -> dict[str, object]:
    """Of which weights and images a likelihood is: the entries of the report that say it."""
    return {
        "step": run.step,
        "weights": run.weights,
        "weights_hash": run.weights_hash,
        "images_hash": image_key(run.config.data),
    }


def find_likelihood(run: LoadedRun, method: str) -> tuple[dict[str, Any], str] | None:
    """The newest report of a method's likelihood of the same weights and images, and its stem.

    The stem is the path less its ending. None if there is no such report.
    """
    stem = glob.escape(run.folder.likelihood_stem(method))
    paths = glob.glob(f"{stem}.json") + glob.glob(f"{stem}_*.json")
    provenance = likelihood_provenance(run)
    for path in sorted(paths, key=os.path.getmtime, reverse=True):
        report = load_likelihood(path)
        # The names of the other methods begin as those of "ais".
        if report["method"] == method:
            if is_of(report, provenance):
                return report, path.removesuffix(".json")
            _LOGGER.info("%s is of other weights or other images: left out", path)
    return None


def fit_to_images(run: LoadedRun, training: np.ndarray, validation: np.ndarray) -> Fit:
    """Fits levels and decoder to training images; of validation images the gray levels count.

    Args:
        run: the loaded run.
        training: its training images, [N, H, W, C].
        validation: its validation images, [N, H, W, C].
    """
    settings = run.config.likelihood
    images = _floats(training[:: -(-len(training) // _NUM_IMAGES)])
    seeds = settings.seed + np.arange(len(images))
    guesses = NoisyGuesses(run.model.denoise, run.model.image_shape)
    density = _start_density(run)
    grid = np.geomspace(density.sigma, _sigma_min(run.config), _NUM_LEVELS)

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
    guesses, density = NoisyGuesses(model.denoise, model.image_shape), _start_density(run)
    if method == "bound":
        return ChainBound(guesses, density, fit.sigmas, fit.decoder)
    with errors_in_group("config.likelihood"):
        flow = FlowDensity(
            model,
            density,
            model.image_shape,
            sigma0=model.noise.sigma0,
            sigma_min=_sigma_min(run.config),
            num_probes=settings.num_probes or int(math.prod(model.image_shape) > _EXACT_SIZE),
            tolerance=settings.flow_tolerance,
        )
    return FlowBound(guesses, flow, fit.decoder)


def _start_density(run: LoadedRun) -> StartDensity:
    """The density of the start of `config.sampling`."""
    config = run.config
    sigma = config.sampling.sigma_max or config.noise.sigma_max
    start = build_start(config, run.statistics, sigma, isotropic_sigma=sigma)
    with errors_in_group("config.sampling"):
        return StartDensity(start, run.model.image_shape)


def _sigma_min(config: ConfigDict) -> float:
    return config.likelihood.sigma_min or config.noise.sigma_min


def _floats(images: np.ndarray) -> np.ndarray:
    return to_float(tf.constant(images)).numpy()
