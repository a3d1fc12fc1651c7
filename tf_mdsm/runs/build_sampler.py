"""From `config.sampling` to a sampler."""

import dataclasses
import os

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.config.rules import final_sigma
from tf_mdsm.datasets.image_statistics import ImageStatistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, errors_in_group
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.denoiser_based import NoiseGridSampler
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.schedules import annealing_temperatures, falling_sigmas, growing_step_sizes
from tf_mdsm.samplers.starts import StartFn, gaussian_start, images_start, isotropic_start
from tf_mdsm.system.image_files import read_images

__all__ = ["build_sampler", "build_temperatures"]


def build_temperatures(config: ConfigDict) -> np.ndarray:
    """The temperature of every step of the chain."""
    settings = config.sampling
    with errors_in_group("config.sampling"):
        return annealing_temperatures(
            settings.initial_temperature,
            settings.hot_steps,
            settings.cooling_steps,
            settings.final_steps,
            settings.cooling,
        )


def build_sampler(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> Sampler:
    """The sampler of `config.sampling`; `statistics` of the training images, where known."""
    builders = {
        "annealed_langevin": _build_langevin,
        "heun": lambda *arguments: _build_on_grid(Heun, *arguments, churn=config.sampling.churn),
        "ancestral": lambda *arguments: _build_on_grid(AncestralEuler, *arguments),
        "coarse_to_fine": _build_coarse_to_fine,
        "mala": _build_metropolis,
        "hmc": _build_metropolis,
    }
    return builders[config.sampling.sampler](config, model, statistics)


def _build_langevin(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> AnnealedLangevin:
    temperatures = build_temperatures(config)
    sigma0 = model.noise.sigma0
    sigma = sigma0 * temperatures[0] ** 0.5
    return AnnealedLangevin(
        model.energy_and_score,
        model.denoise if config.sampling.denoise else None,
        _build_start(config, model, statistics, sigma, isotropic_sigma=1.0),
        temperatures,
        config.sampling.step_size,
        sigma0,
    )


def _build_on_grid(
    sampler: type[NoiseGridSampler],
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    **options: float,
) -> NoiseGridSampler:
    first, sigmas = _levels(config)
    start = _build_start(config, model, statistics, first, isotropic_sigma=first)
    return sampler(model.energy_and_score, start, model.noise.sigma0, sigmas, **options)


def _build_coarse_to_fine(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> CoarseToFine:
    first, last = _first_and_last_sigma(config)
    return CoarseToFine(
        model.energy_and_score,
        _build_start(config, model, statistics, first, isotropic_sigma=first),
        model.noise.sigma0,
        growing_step_sizes(config.sampling.h0, config.sampling.max_steps),
        config.sampling.beta,
        sigma_start=first,
        sigma_end=last,
    )


def _build_metropolis(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> Sampler:
    # TensorFlow Probability takes its time to load, and nothing else needs it.
    from tf_mdsm.samplers.metropolis import HamiltonianMonteCarlo, MetropolisLangevin

    settings, sigma0 = config.sampling, model.noise.sigma0
    first, sigmas = _levels(config)
    arguments = (
        model.energy_and_score,
        _build_start(config, model, statistics, first, isotropic_sigma=first),
        (sigmas / sigma0) ** 2,
        settings.step_share * sigmas,
        settings.moves,
        sigma0,
    )
    if settings.sampler == "mala":
        return MetropolisLangevin(*arguments)
    return HamiltonianMonteCarlo(*arguments, settings.leapfrog_steps)


def _levels(config: ConfigDict) -> tuple[float, np.ndarray]:
    """The first noise level, and all of them down to the last."""
    first, last = _first_and_last_sigma(config)
    with errors_in_group("config.sampling"):
        return first, falling_sigmas(first, last, config.sampling.num_levels, config.sampling.rho)


def _first_and_last_sigma(config: ConfigDict) -> tuple[float, float]:
    """Where chains begin and end."""
    return config.sampling.sigma_max or config.noise.sigma_max, final_sigma(config)


def _build_start(
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    sigma: float,
    isotropic_sigma: float,
) -> StartFn:
    if config.sampling.start == "isotropic":
        return isotropic_start(model.image_shape, isotropic_sigma)
    if config.sampling.start == "images":
        field, path = "config.sampling.start_images", config.sampling.start_images
        given = read_images([os.path.expanduser(path)], model.image_shape, field)
        return images_start(given, sigma)
    if statistics is None:
        raise InvalidArgument(
            "config.sampling.start",
            "be isotropic, as this run holds no statistics of its training images",
            config.sampling.start,
        )
    return gaussian_start(**dataclasses.asdict(statistics), sigma=sigma)
