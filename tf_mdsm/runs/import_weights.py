"""The importing run: makes a run's folder of a network that the authors published."""

import logging
import os
import tempfile

import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.config.file import save_config
from tf_mdsm.config.rules import validate
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.networks.pytorch_weights import PublishedNetwork
from tf_mdsm.runs import build_model as build
from tf_mdsm.training.checkpoints import TrainingCheckpoints

__all__ = ["import_checkpoint"]

_LOGGER = logging.getLogger(__name__)


def import_checkpoint(config: ConfigDict, workdir: str, published: PublishedNetwork) -> None:
    """Writes a run of step 0 that holds the published weights and a fresh optimiser.

    Sampling and exporting read it, training goes on from it. The recipe gives noise levels,
    sampler and optimiser; network and image size are the published network's, and there are
    no averaged weights beside those that were published.

    Raises:
        InvalidArgument: if the folder holds a run already or cannot be written to, or no run
            can have such a network.
        RunError: if the checkpoint cannot be written.
    """
    for name in ("config.json", "checkpoints"):
        if os.path.lexists(os.path.join(workdir, name)):
            raise InvalidArgument("--workdir", f"hold no run yet, and holds {name}", workdir)
    _follow(config, published)
    model = build.build_model(config)
    model.compile(build.build_optimizer(config))
    for variable in model.network.variables:
        variable.assign(published.weights[variable.path])
    try:
        _write(config, workdir, model)
    except (OSError, tf.errors.OpError) as error:
        advice = f"be writable ({one_line(error)})"
        raise InvalidArgument("--workdir", advice, workdir) from error
    _LOGGER.info(
        "%s: %s, %d channels, %s head, %s parameters, for images of %d x %d x %d; step 0",
        *(workdir, published.name, published.channels, published.head),
        *(f"{model.network.count_params():,}", *published.image_shape),
    )


def _follow(config: ConfigDict, published: PublishedNetwork) -> None:
    """Sets what the published network decides."""
    config.network.update(name=published.name, channels=published.channels, head=published.head)
    side, _, colours = published.image_shape
    config.data.update(image_size=side, channels=colours)
    config.optimizer.ema_momentum = 0.0
    try:
        validate(config)
    except InvalidArgument as error:
        asks = f"hold a network of which {error.field} can {error.requirement}"
        raise InvalidArgument("--torch_checkpoint", asks, error.received) from error


def _write(config: ConfigDict, workdir: str, model: tf.keras.Model) -> None:
    """Writes all of it beside its place, then moves it there: config.json, without which no
    mode takes the folder for a run, last."""
    os.makedirs(workdir, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-import-", dir=workdir) as partial:
        folder = os.path.join(partial, "checkpoints")
        TrainingCheckpoints(folder, model, config.training.keep_checkpoints).save()
        save_config(config, os.path.join(partial, "config.json"))
        for name in ("checkpoints", "config.json"):
            os.rename(os.path.join(partial, name), os.path.join(workdir, name))
