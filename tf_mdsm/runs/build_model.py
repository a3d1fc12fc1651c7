"""From a configuration to the objects of a run: with `build_sampler`, `main` and the runs, the one
place that reads a ConfigDict."""

import hashlib
import json
import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.datasets import loading, synthetic
from tf_mdsm.distributed.strategies import create_strategy
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, errors_in_group
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.serving.signatures import ServedEnergy
from tf_mdsm.training.optimizers import Adam, WarmUp

__all__ = [
    "build_images",
    "build_model",
    "build_optimizer",
    "build_served",
    "build_strategy",
    "fingerprint",
    "set_constant_rate",
    "statistics_path",
    "true_energy",
]


def build_images(config: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """Training images and held-out images, [N, H, W, C] each."""
    settings = {name: value for name, value in config.data.items() if name != "flip"}
    for name in ("path", "data_dir", "cache"):
        settings[name] = os.path.expanduser(settings[name])
    with errors_in_group("config.data"):
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
    strategy = create_strategy(
        settings.strategy, settings.cluster, settings.tpu, settings.batch_size
    )
    share = settings.batch_size // strategy.num_replicas_in_sync
    if share % settings.accumulation_steps:
        divide = f"divide the images of each replica ({share})"
        field = "config.training.accumulation_steps"
        raise InvalidArgument(field, divide, settings.accumulation_steps)
    return strategy


def build_model(config: ConfigDict) -> EnergyModel:
    """The energy model with fresh weights, to be called under a strategy's scope."""
    data, training = config.data, config.training
    with errors_in_group("config.data"):
        network = build_network(
            config.network.name,
            (data.image_size, data.image_size, data.channels),
            config.network.channels,
            config.network.head,
            seed=config.seed,
            precision=training.precision,
            sigma0=config.noise.sigma0,
            structure=UNetStructure(**config.network.unet),
        )
    has_gpu = bool(tf.config.list_logical_devices("GPU"))
    return EnergyModel(
        network,
        NoiseLevels(**config.noise),
        ema_momentum=config.optimizer.ema_momentum,
        seed=config.seed,
        compile_gradients={"auto": has_gpu, "on": True, "off": False}[training.jit_compile],
        clip_norm=config.optimizer.clip_norm,
        accumulation_steps=training.accumulation_steps,
    )


def build_optimizer(config: ConfigDict, rate_factor: float = 1.0) -> keras.optimizers.Optimizer:
    """Adam under the run's learning-rate schedule, all of whose rates are multiplied."""
    settings, num_steps = config.optimizer, config.training.num_steps
    initial, final = settings.learning_rate, settings.final_learning_rate
    rates = {
        "cosine": keras.optimizers.schedules.CosineDecay(
            rate_factor * initial, num_steps, final / initial
        ),
        "constant": rate_factor * initial,
    }
    rate = rates[settings.schedule]
    if settings.warmup_steps:
        rate = WarmUp(rate, settings.warmup_steps)
    return Adam(rate, settings.beta_1, settings.beta_2, settings.epsilon)


def set_constant_rate(
    config: ConfigDict, optimizer: keras.optimizers.Optimizer, rate_factor: float
) -> None:
    """The rate where it is one number, which a checkpoint has brought back as it was."""
    settings = config.optimizer
    if settings.schedule == "constant" and not settings.warmup_steps:
        optimizer.learning_rate = rate_factor * settings.learning_rate


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


def statistics_path(workdir: str) -> str:
    """The file that keeps the training images' mean and covariance, beside the weights."""
    return os.path.join(workdir, "checkpoints", "statistics.npz")


def fingerprint(settings: dict, model: EnergyModel) -> str:
    """Of what results follow from, settings and weights: others have other pieces of a job."""
    content = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for variable in model.trained_network.variables:
        content.update(variable.numpy().tobytes())
    return content.hexdigest()[:12]


def true_energy(config: ConfigDict) -> Callable[[tf.Tensor], tf.Tensor] | None:
    """The energy that training should find, where the data's law is known."""
    if (config.data.source, config.data.name) != ("synthetic", "mixture"):
        return None
    sigmas = NoiseLevels(**config.noise).sigmas
    return lambda points: synthetic.mixture_energy(points, sigmas)
