"""`--mode=import`: starts a run from a network whose PyTorch weights the authors published."""

import logging
import os
import tempfile

import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.config.file import save_config
from tf_mdsm.config.rules import validate
from tf_mdsm.datasets.image_statistics import save_statistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.networks.pytorch_weights import PublishedNetwork
from tf_mdsm.runs.build_data import RunImages, build_run_images
from tf_mdsm.runs.build_model import build_model, build_optimizer
from tf_mdsm.runs.build_statistics import build_statistics
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.image_record import describe_images, save_record
from tf_mdsm.system.atomic import sync
from tf_mdsm.training.checkpoints import TrainingCheckpoints

__all__ = ["import_weights"]

_LOGGER = logging.getLogger(__name__)


def import_weights(config: ConfigDict, workdir: str, published: PublishedNetwork) -> list[str]:
    """Writes a run at step 0 with the published weights and a new state of the optimizer.

    All modes work on the folder; training starts at step 0 from these weights. The recipe gives
    noise levels, sampler and optimizer. The published network gives the network and the image
    size. There are no averaged weights (EMA), because none were published.

    With `sampling.start=mixture` the images of `config.data` are read, and the folder keeps their
    statistics: sampling can then start at the mixture or at the Gaussian. Otherwise no images are
    needed, and sampling has to start at `isotropic` until the run has been trained.

    Args:
        config: the recipe; the fields that the network decides are set here.
        workdir: a folder without a run.
        published: the network and its weights.

    Returns:
        no paths: what is written has fixed places in the run's folder.

    Raises:
        InvalidArgument: if the folder holds a run already or cannot be written to, if no run can
            have this network, or if images are needed and cannot be read.
        RunError: if the checkpoint cannot be written.
    """
    folder = RunFolder(workdir)
    for path in (folder.config, folder.checkpoints):
        if os.path.lexists(path):
            empty = f"hold no run yet, and holds {os.path.basename(path)}"
            raise InvalidArgument("--workdir", empty, workdir)
    _set_network(config, published)
    model = build_model(config)
    model.compile(build_optimizer(config))
    for variable in model.network.variables:
        variable.assign(published.weights[variable.path])
    images = build_run_images(config) if config.sampling.start == "mixture" else None
    try:
        _write(config, folder, model, images)
    except (OSError, tf.errors.OpError) as error:
        writable = f"be writable ({one_line(error)})"
        raise InvalidArgument("--workdir", writable, workdir) from error
    _LOGGER.info(
        "%s: %s, %d channels, %s head, %s parameters, for images of %s; step 0",
        workdir,
        published.name,
        published.channels,
        published.head,
        f"{model.network.count_params():,}",
        " x ".join(map(str, published.image_shape)),
    )
    return []


def _set_network(config: ConfigDict, published: PublishedNetwork) -> None:
    """Sets the fields of the configuration that the published network decides.

    Raises:
        InvalidArgument: about the weights, if no run can have this network.
    """
    config.network.update(name=published.name, channels=published.channels, head=published.head)
    image_size, _, channels = published.image_shape
    config.data.update(image_size=image_size, channels=channels)
    config.optimizer.ema_momentum = 0.0
    try:
        validate(config)
    except InvalidArgument as error:
        fits = f"hold a network of which {error.field} can {error.requirement}"
        raise InvalidArgument("--torch_checkpoint", fits, error.received) from error


def _write(
    config: ConfigDict,
    folder: RunFolder,
    model: EnergyModel,
    images: RunImages | None,
) -> None:
    """Writes the run into a temporary folder, then renames its parts.

    config.json comes last: without it no mode takes the folder for a run.

    Args:
        config: the run's configuration.
        folder: the run's folder.
        model: the energy model.
        images: the images of which the statistics are kept; None: none.
    """
    os.makedirs(folder.path, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial-import-", dir=folder.path) as name:
        partial = RunFolder(name)
        TrainingCheckpoints(partial.checkpoints, model, config.training.keep_checkpoints).save()
        if images is not None:
            save_statistics(build_statistics(config, images.training), partial.image_statistics)
            save_record(describe_images(config, images, None), partial)
        save_config(config, partial.config)
        os.rename(partial.checkpoints, folder.checkpoints)
        sync(folder.path)
        os.rename(partial.config, folder.config)
        sync(folder.path)
