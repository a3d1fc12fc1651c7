"""From `config.sampling` to a method of sampling."""

import dataclasses
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from tf_mdsm.config.rules import final_sigma, validate
from tf_mdsm.datasets.image_mixture import ImageMixture
from tf_mdsm.datasets.image_statistics import ImageStatistics
from tf_mdsm.errors import InvalidArgument, errors_about, errors_in_group, errors_renamed
from tf_mdsm.runs.build_data import sample_shape
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import Method, NoiseGridMethod, TemperatureMethod
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.guided import Guided
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.metropolis import HMC, MALA
from tf_mdsm.samplers.multistep import Multistep
from tf_mdsm.samplers.schedules import (
    annealing_temperatures,
    falling_sigmas,
    growing_step_sizes,
    temperatures_of,
)
from tf_mdsm.samplers.starts import (
    GaussianStart,
    ImagesStart,
    IsotropicStart,
    MixtureStart,
    SmoothStart,
    Start,
)
from tf_mdsm.system.image_files import read_images
from tf_mdsm.weightings import trains_denoiser

__all__ = [
    "BUILDERS",
    "build_method",
    "build_restoration_method",
    "build_start",
    "build_temperatures",
    "first_sigma",
    "mixture_start",
    "with_ascent",
    "with_guide",
    "with_own_sampler",
]

# Settings of `config.restoration` in place of those of `config.sampling`.
_OWN = ("sampler", "start", "beta", "max_steps", "sigma_max", "h0")
_NAMES_OF_OWN = {f"config.sampling.{name}": f"config.restoration.{name}" for name in _OWN}

# Relative rounding errors of a few operations in float32.
_ROUNDING = 1e-6


def build_method(config: ConfigDict, statistics: ImageStatistics | None) -> Method:
    """The method that `config.sampling.sampler` names.

    Args:
        config: the run's configuration.
        statistics: mean and covariance of the training images; None if they are not known.

    Raises:
        InvalidArgument: for a Gaussian start without statistics, or images to start at that
            cannot be read.
    """
    return BUILDERS[config.sampling.sampler](config, statistics)


def with_own_sampler(config: ConfigDict) -> ConfigDict:
    """The configuration with the sampler of `config.restoration` in `config.sampling`."""
    own = {name: config.restoration[name] for name in _OWN}
    # 0 stands for the setting of `config.sampling`.
    own |= {name: own[name] or config.sampling[name] for name in ("sigma_max", "h0")}
    changed = ConfigDict(config.to_dict())
    changed.sampling.update(own, image_size=0, guide_sigma_min=0.0, guide_sigma_max=0.0)
    with errors_renamed(_NAMES_OF_OWN):
        return validate(changed)


def build_restoration_method(config: ConfigDict, statistics: ImageStatistics | None) -> Method:
    """Builds the method of `config.restoration`, as `build_method`; errors name its fields."""
    own_config = with_own_sampler(config)
    with errors_renamed(_NAMES_OF_OWN):
        return build_method(own_config, statistics)


def with_guide(config: ConfigDict, method: Method) -> Guided:
    """The method with a guide in the steps that `config.sampling.guide_sigma_max` and `_min` name.

    Raises:
        InvalidArgument: if no step begins at a noise level of their range, or if the steps have no
            noise levels.
    """
    low, high = config.sampling.guide_sigma_min, config.sampling.guide_sigma_max
    sigmas = _levels_of_steps(method, config.noise.sigma0)
    # A method's levels are the settings' ones up to rounding to float32.
    guided = (sigmas >= low * (1 - _ROUNDING)) & (sigmas <= high * (1 + _ROUNDING))
    if not guided.any():
        levels = ", ".join(f"{sigma:.3g}" for sigma in sigmas[:10])
        requirement = f"have a noise level of the sampler in its range ({levels} …)"
        raise InvalidArgument("config.sampling.guide_sigma_max", requirement, f"{low} … {high}")
    return Guided(method, guided)


def _levels_of_steps(method: Method, sigma0: float) -> np.ndarray:
    """Noise level before each step of a method and before its final operation, [num_steps + 1]."""
    if isinstance(method, TemperatureMethod):
        temperatures = method.temperatures.astype(float)
        return sigma0 * np.sqrt(np.append(temperatures, temperatures[-1]))
    if isinstance(method, NoiseGridMethod):
        return method.sigmas.astype(float)
    requirement = "be 0 for a sampler whose steps have no noise levels"
    raise InvalidArgument("config.sampling.guide_sigma_max", requirement, type(method).__name__)


def with_ascent(config: ConfigDict) -> ConfigDict:
    """The configuration with coarse-to-fine ascent in `config.sampling`, for blind denoising."""
    changed = ConfigDict(config.to_dict())
    changed.sampling.update(sampler="coarse_to_fine", start="isotropic")
    return changed


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


def first_sigma(config: ConfigDict) -> float:
    """The noise level at which the method of `config.sampling` starts."""
    if config.sampling.sampler == "annealed_langevin":
        return config.noise.sigma0 * float(build_temperatures(config)[0]) ** 0.5
    return config.sampling.sigma_max or config.noise.sigma_max


def _build_langevin(config: ConfigDict, statistics: ImageStatistics | None) -> AnnealedLangevin:
    """The paper's sampler. Its isotropic start has the paper's sigma = 1."""
    temperatures = build_temperatures(config)
    return AnnealedLangevin(
        temperatures=temperatures,
        step_size=config.sampling.step_size,
        denoise=config.sampling.denoise and trains_denoiser(config.noise.weighting),
        start=build_start(config, statistics, first_sigma(config), isotropic_sigma=1.0),
    )


def _build_heun(config: ConfigDict, statistics: ImageStatistics | None) -> Heun:
    """Heun's method over the grid of noise levels."""
    first, sigmas = _noise_levels(config)
    start = build_start(config, statistics, first, isotropic_sigma=first)
    return Heun(sigmas, churn=config.sampling.churn, start=start)


def _build_multistep(config: ConfigDict, statistics: ImageStatistics | None) -> Multistep:
    """The two-step method over the grid of noise levels."""
    first, sigmas = _noise_levels(config)
    return Multistep(sigmas, start=build_start(config, statistics, first, isotropic_sigma=first))


def _build_ancestral(config: ConfigDict, statistics: ImageStatistics | None) -> AncestralEuler:
    """Ancestral sampling over the grid of noise levels."""
    first, sigmas = _noise_levels(config)
    start = build_start(config, statistics, first, isotropic_sigma=first)
    return AncestralEuler(sigmas, start=start)


def _build_coarse_to_fine(config: ConfigDict, statistics: ImageStatistics | None) -> CoarseToFine:
    """Coarse-to-fine ascent from the first noise level to the last."""
    first, last = first_sigma(config), final_sigma(config)
    return CoarseToFine(
        sigma_start=first,
        sigma_end=last,
        step_sizes=growing_step_sizes(config.sampling.h0, config.sampling.max_steps),
        beta=config.sampling.beta,
        start=build_start(config, statistics, first, isotropic_sigma=first),
    )


def _build_mala(config: ConfigDict, statistics: ImageStatistics | None) -> Method:
    """The Metropolis-adjusted Langevin algorithm over the grid of noise levels."""
    return MALA(**_metropolis_arguments(config, statistics))


def _build_hmc(config: ConfigDict, statistics: ImageStatistics | None) -> Method:
    """Hamiltonian Monte Carlo over the grid of noise levels."""
    arguments = _metropolis_arguments(config, statistics)
    return HMC(**arguments, leapfrog_steps=config.sampling.leapfrog_steps)


def _metropolis_arguments(config: ConfigDict, statistics: ImageStatistics | None) -> dict:
    """What both methods with a Metropolis test are built from."""
    settings = config.sampling
    first, sigmas = _noise_levels(config)
    return {
        "temperatures": temperatures_of(sigmas, config.noise.sigma0),
        "step_sizes": settings.step_share * sigmas,
        "moves": settings.moves,
        "start": build_start(config, statistics, first, isotropic_sigma=first),
    }


def _noise_levels(config: ConfigDict) -> tuple[float, np.ndarray]:
    """The first noise level, and all levels from the first to the last, float32 [N]."""
    first, last = first_sigma(config), final_sigma(config)
    with errors_in_group("config.sampling"):
        return first, falling_sigmas(first, last, config.sampling.num_levels, config.sampling.rho)


def build_start(
    config: ConfigDict, statistics: ImageStatistics | None, sigma: float, isotropic_sigma: float
) -> Start:
    """The start that `config.sampling.start` names.

    Args:
        config: the run's configuration.
        statistics: of the training images.
        sigma: noise level of every start but the isotropic one.
        isotropic_sigma: standard deviation of the isotropic start.
    """
    if config.sampling.start == "isotropic":
        return IsotropicStart(isotropic_sigma)
    if config.sampling.start == "smooth":
        return SmoothStart(sigma)
    if config.sampling.start == "images":
        field, path = "config.sampling.start_images", config.sampling.start_images
        images = read_images([path], sample_shape(config), field)
        with errors_about(field):
            return ImagesStart(images, sigma)
    if statistics is None:
        raise InvalidArgument(
            "config.sampling.start",
            "be isotropic, as this run holds no statistics of its training images",
            config.sampling.start,
        )
    if config.sampling.start == "gaussian":
        return GaussianStart(**statistics.gaussian(), sigma=sigma)
    if statistics.mixture is None:
        raise InvalidArgument(
            "config.sampling.start",
            "be gaussian or isotropic, as this run keeps no mixture of its training images "
            "(--mode=train or --mode=import with sampling.start=mixture fits one)",
            config.sampling.start,
        )
    return mixture_start(statistics, statistics.mixture, sigma)


def mixture_start(statistics: ImageStatistics, mixture: ImageMixture, sigma: float) -> MixtureStart:
    """The start at a mixture of Gaussians in the components of some statistics."""
    return MixtureStart(
        **dataclasses.asdict(mixture),
        mean=statistics.mean,
        components=statistics.components[: mixture.rank],
        sigma=sigma,
    )


# Every name of `config.sampling.sampler`, in the order of `config.ranges`.
BUILDERS: dict[str, Callable[..., Method]] = {
    "annealed_langevin": _build_langevin,
    "heun": _build_heun,
    "multistep": _build_multistep,
    "ancestral": _build_ancestral,
    "coarse_to_fine": _build_coarse_to_fine,
    "mala": _build_mala,
    "hmc": _build_hmc,
}
