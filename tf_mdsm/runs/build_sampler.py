"""From `config.sampling` to a sampler of a model's energy."""

import dataclasses
import os
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.config.rules import final_sigma
from tf_mdsm.datasets.image_statistics import ImageStatistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, errors_in_group
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.schedules import annealing_temperatures, falling_sigmas, growing_step_sizes
from tf_mdsm.samplers.starts import StartFn, gaussian_start, images_start, isotropic_start
from tf_mdsm.system.image_files import read_images

__all__ = ["BUILDERS", "build_sampler", "build_temperatures"]


def build_sampler(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> Sampler:
    """The sampler that `config.sampling.sampler` names.

    Args:
        config: the run's configuration.
        model: the energy.
        statistics: mean and covariance of the training images; None if they are not known.

    Raises:
        InvalidArgument: for a Gaussian start without statistics, or images to start at that
            cannot be read.
    """
    return BUILDERS[config.sampling.sampler](config, model, statistics)


def build_temperatures(config: ConfigDict) -> np.ndarray:
    """The temperature of each step of annealed Langevin dynamics, float32 [steps]."""
    settings = config.sampling
    with errors_in_group("config.sampling"):
        return annealing_temperatures(
            settings.initial_temperature,
            settings.hot_steps,
            settings.cooling_steps,
            settings.final_steps,
            settings.cooling,
        )


def _build_langevin(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> AnnealedLangevin:
    """The paper's sampler. Its isotropic start has the paper's sigma = 1."""
    temperatures = build_temperatures(config)
    sigma0 = model.noise.sigma0
    first_sigma = sigma0 * temperatures[0] ** 0.5
    return AnnealedLangevin(
        energy_and_score_fn=model.energy_and_score,
        denoise_fn=model.denoise if config.sampling.denoise else None,
        start_fn=_build_start(config, model, statistics, first_sigma, isotropic_sigma=1.0),
        temperatures=temperatures,
        step_size=config.sampling.step_size,
        sigma0=sigma0,
    )


def _build_heun(config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None) -> Heun:
    """Heun's method over the grid of noise levels."""
    return Heun(**_grid_arguments(config, model, statistics), churn=config.sampling.churn)


def _build_ancestral(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> AncestralEuler:
    """Ancestral sampling over the grid of noise levels."""
    return AncestralEuler(**_grid_arguments(config, model, statistics))


def _grid_arguments(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> dict:
    """What every sampler over a grid of noise levels is built from."""
    first, sigmas = _noise_levels(config)
    return {
        "energy_and_score_fn": model.energy_and_score,
        "start_fn": _build_start(config, model, statistics, first, isotropic_sigma=first),
        "sigma0": model.noise.sigma0,
        "sigmas": sigmas,
    }


def _build_coarse_to_fine(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> CoarseToFine:
    """Coarse-to-fine ascent from the first noise level to the last."""
    first, last = _first_and_last_sigma(config)
    return CoarseToFine(
        energy_and_score_fn=model.energy_and_score,
        start_fn=_build_start(config, model, statistics, first, isotropic_sigma=first),
        sigma0=model.noise.sigma0,
        step_sizes=growing_step_sizes(config.sampling.h0, config.sampling.max_steps),
        beta=config.sampling.beta,
        sigma_start=first,
        sigma_end=last,
    )


def _build_mala(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> Sampler:
    """The Metropolis-adjusted Langevin algorithm over the grid of noise levels."""
    # Imported here: TensorFlow Probability takes its time to load.
    from tf_mdsm.samplers.metropolis import MetropolisLangevin

    return MetropolisLangevin(**_metropolis_arguments(config, model, statistics))


def _build_hmc(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> Sampler:
    """Hamiltonian Monte Carlo over the grid of noise levels."""
    from tf_mdsm.samplers.metropolis import HamiltonianMonteCarlo

    arguments = _metropolis_arguments(config, model, statistics)
    return HamiltonianMonteCarlo(**arguments, leapfrog_steps=config.sampling.leapfrog_steps)


def _metropolis_arguments(
    config: ConfigDict, model: EnergyModel, statistics: ImageStatistics | None
) -> dict:
    """What both samplers with a Metropolis test are built from: T = (sigma / sigma0)^2."""
    settings, sigma0 = config.sampling, model.noise.sigma0
    first, sigmas = _noise_levels(config)
    return {
        "energy_and_score_fn": model.energy_and_score,
        "start_fn": _build_start(config, model, statistics, first, isotropic_sigma=first),
        "temperatures": (sigmas / sigma0) ** 2,
        "step_sizes": settings.step_share * sigmas,
        "moves": settings.moves,
        "sigma0": sigma0,
    }


def _noise_levels(config: ConfigDict) -> tuple[float, np.ndarray]:
    """The first noise level, and all levels from the first to the last, float32 [N]."""
    first, last = _first_and_last_sigma(config)
    with errors_in_group("config.sampling"):
        return first, falling_sigmas(first, last, config.sampling.num_levels, config.sampling.rho)


def _first_and_last_sigma(config: ConfigDict) -> tuple[float, float]:
    """The noise levels at which sampling begins and ends."""
    return config.sampling.sigma_max or config.noise.sigma_max, final_sigma(config)


def _build_start(
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    sigma: float,
    isotropic_sigma: float,
) -> StartFn:
    """The start that `config.sampling.start` names.

    Args:
        config: the run's configuration.
        model: the energy, for the shape of its images.
        statistics: of the training images.
        sigma: noise level of the Gaussian start and of the start at images.
        isotropic_sigma: standard deviation of the isotropic start.
    """
    if config.sampling.start == "isotropic":
        return isotropic_start(model.image_shape, isotropic_sigma)
    if config.sampling.start == "images":
        field, path = "config.sampling.start_images", config.sampling.start_images
        images = read_images([os.path.expanduser(path)], model.image_shape, field)
        return images_start(images, sigma)
    if statistics is None:
        raise InvalidArgument(
            "config.sampling.start",
            "be isotropic, as this run holds no statistics of its training images",
            config.sampling.start,
        )
    return gaussian_start(**dataclasses.asdict(statistics), sigma=sigma)


# Every name of `config.sampling.sampler`, in the order of `config.ranges`.
BUILDERS: dict[str, Callable[..., Sampler]] = {
    "annealed_langevin": _build_langevin,
    "heun": _build_heun,
    "ancestral": _build_ancestral,
    "coarse_to_fine": _build_coarse_to_fine,
    "mala": _build_mala,
    "hmc": _build_hmc,
}
