"""From a configuration to the strategy, the energy model and its optimizer."""

import keras
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.distributed.gpus import unknown_to_xla
from tf_mdsm.distributed.strategies import create_strategy
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, errors_in_group
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.runs.build_data import image_shape
from tf_mdsm.training.optimizers import Adam, WarmUp

__all__ = ["build_model", "build_optimizer", "build_strategy", "set_constant_rate"]


def build_strategy(config: ConfigDict) -> tf.distribute.Strategy:
    """The distribution strategy of `config.training.strategy`.

    With several machines this comes before every other operation of TensorFlow.

    Raises:
        InvalidArgument: if the replicas or the accumulation steps cannot share a batch.
        RunError: if a worker does not appear.
    """
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
    """The energy model with initial weights; called under the scope of the strategy.

    With `data.patches` its network takes images of any size.

    Raises:
        InvalidArgument: for images of a size that the network cannot halve.
    """
    training = config.training
    *sides, channels = image_shape(config)
    height, width = (None, None) if config.data.patches else sides
    with errors_in_group("config.data"):
        network = build_network(
            config.network.name,
            (height, width, channels),
            config.network.channels,
            head=config.network.head,
            seed=config.seed,
            precision=training.precision,
            sigma0=config.noise.sigma0,
            structure=UNetStructure(**config.network.unet),
        )
    return EnergyModel(
        network,
        NoiseLevels(**config.noise),
        ema_momentum=config.optimizer.ema_momentum,
        seed=config.seed,
        compile_gradients=_uses_xla(training.jit_compile),
        clip_norm=config.optimizer.clip_norm,
        accumulation_steps=training.accumulation_steps,
        denoiser_steps=training.denoiser_steps,
    )


def _uses_xla(jit_compile: str) -> bool:
    """Whether gradients are compiled with XLA: `config.training.jit_compile` on this machine."""
    if jit_compile == "auto":
        return bool(tf.config.list_logical_devices("GPU")) and not unknown_to_xla()
    return jit_compile == "on"


def build_optimizer(config: ConfigDict, rate_factor: float = 1.0) -> keras.optimizers.Optimizer:
    """Adam with the learning-rate schedule of `config.optimizer`.

    Args:
        config: the run's configuration.
        rate_factor: factor on all learning rates, below 1 after a rollback.
    """
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
    """Sets a constant learning rate again after a checkpoint has restored its old value."""
    settings = config.optimizer
    if settings.schedule == "constant" and not settings.warmup_steps:
        optimizer.learning_rate = rate_factor * settings.learning_rate
