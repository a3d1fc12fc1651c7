"""From a configuration to the objects of a run: with `main` and the runs, the one place that
reads a ConfigDict."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.cluster import create_strategy
from tf_mdsm.datasets import loading, synthetic
from tf_mdsm.datasets.statistics import ImageStatistics
from tf_mdsm.energy import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.optimizers import Adam
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.denoising import FallingNoise
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.sampler import Sampler
from tf_mdsm.samplers.schedules import annealing_temperatures, falling_sigmas, growing_step_sizes
from tf_mdsm.samplers.starts import StartFn, gaussian_start, isotropic_start
from tf_mdsm.signatures import ServedEnergy

__all__ = [
    "build_images",
    "build_model",
    "build_optimizer",
    "build_sampler",
    "build_served",
    "build_strategy",
    "build_temperatures",
    "statistics_path",
    "true_energy",
]


def build_images(config: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """Training images and held-out images, [N, H, W, C] each."""
    settings = {name: value for name, value in config.data.items() if name != "flip"}
    settings["path"] = os.path.expanduser(settings["path"])
    settings["data_dir"] = os.path.expanduser(settings["data_dir"])
    with _group("config.data"):
        training, held_out = loading.load_images(**settings)
    batch_size = config.training.batch_size
    if len(training) < batch_size:
        raise InvalidArgument(
            "config.training.batch_size",
            f"not exceed the number of training images ({len(training)})",
            batch_size,
        )
    return training, held_out


def build_strategy(config: ConfigDict) -> tf.distribute.Strategy:
    """The strategy that `config.training.strategy` names; before anything else of TensorFlow."""
    settings = config.training
    return create_strategy(settings.strategy, settings.cluster, settings.tpu, settings.batch_size)


def build_model(config: ConfigDict) -> EnergyModel:
    """The energy model with fresh weights, to be called under a strategy's scope."""
    data, training = config.data, config.training
    with _group("config.data"):
        network = build_network(
            config.network.name,
            (data.image_size, data.image_size, data.channels),
            config.network.channels,
            config.network.head,
            seed=config.seed,
            precision=training.precision,
        )
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    return EnergyModel(
        network,
        NoiseLevels(**config.noise),
        ema_momentum=config.optimizer.ema_momentum,
        seed=config.seed,
        compile_gradients={"auto": has_gpu, "on": True, "off": False}[training.jit_compile],
    )


def build_optimizer(config: ConfigDict) -> keras.optimizers.Optimizer:
    """Adam under the run's learning-rate schedule."""
    settings, num_steps = config.optimizer, config.training.num_steps
    initial, final = settings.learning_rate, settings.final_learning_rate
    rates = {
        "cosine": keras.optimizers.schedules.CosineDecay(initial, num_steps, final / initial),
        "constant": initial,
    }
    return Adam(rates[settings.schedule], settings.beta_1, settings.beta_2, settings.epsilon)


def build_temperatures(config: ConfigDict) -> np.ndarray:
    """The temperature of every step of the chain."""
    settings = config.sampling
    with _group("config.sampling"):
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
    sampler: type[FallingNoise],
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    **options: float,
) -> FallingNoise:
    first, last = _first_and_last_sigma(config)
    start = _build_start(config, model, statistics, first, isotropic_sigma=first)
    with _group("config.sampling"):
        sigmas = falling_sigmas(first, last, config.sampling.num_levels, config.sampling.rho)
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


def _first_and_last_sigma(config: ConfigDict) -> tuple[float, float]:
    """Where chains begin and end: the trained range unless something else is asked for."""
    sampling, noise = config.sampling, config.noise
    return sampling.sigma_max or noise.sigma_max, sampling.sigma_min or noise.sigma_min


def build_served(config: ConfigDict, model: EnergyModel, sampler: Sampler) -> ServedEnergy:
    """What a server offers of a trained model and its sampler."""
    return ServedEnergy(
        model.energy,
        model.score,
        model.denoise,
        sampler.draw,
        sampler.inpaint,
        model.image_shape,
        config.export.max_batch_size,
        [variable.value for variable in model.trained_network.variables],
    )


def _build_start(
    config: ConfigDict,
    model: EnergyModel,
    statistics: ImageStatistics | None,
    sigma: float,
    isotropic_sigma: float,
) -> StartFn:
    if config.sampling.start == "isotropic":
        return isotropic_start(model.image_shape, isotropic_sigma)
    if statistics is None:
        raise InvalidArgument(
            "config.sampling.start",
            "be isotropic, as this run holds no statistics of its training images",
            config.sampling.start,
        )
    return gaussian_start(**dataclasses.asdict(statistics), sigma=sigma)


def statistics_path(workdir: str) -> str:
    """The file that keeps the training images' mean and covariance, beside the weights."""
    return os.path.join(workdir, "checkpoints", "statistics.npz")


def true_energy(config: ConfigDict) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The energy that training should find, where the data's law is known."""
    if (config.data.source, config.data.name) != ("synthetic", "mixture"):
        return None
    sigmas = NoiseLevels(**config.noise).sigmas
    return lambda points: synthetic.mixture_energy(points, sigmas)


@contextlib.contextmanager
def _group(name: str) -> Iterator[None]:
    """Complaints about an argument become complaints about the field of this group."""
    try:
        yield
    except InvalidArgument as error:
        raise error.within(name) from error
