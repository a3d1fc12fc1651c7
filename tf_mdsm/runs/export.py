"""`--mode=export`: writes a run's trained model as a SavedModel, or its weights for PyTorch."""

import logging
import os
from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

import tf_mdsm
from tf_mdsm.datasets.image_statistics import load_statistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.pytorch_weights import to_state_dict
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.samplers.base import Sampler
from tf_mdsm.serving.saved_model import write_saved_model
from tf_mdsm.serving.signatures import ServedEnergy
from tf_mdsm.system.torch_files import write_state_dict
from tf_mdsm.training.checkpoints import restore_weights

__all__ = ["build_served_energy", "export"]

_LOGGER = logging.getLogger(__name__)


def export(config: ConfigDict, workdir: str) -> list[str]:
    """Writes the weights of a run's checkpoint for other programs.

    `config.export.format` "saved_model" gives a SavedModel for TensorFlow Serving,
    `export/<version>`. "torch" gives the weights as a state_dict with the names of the paper's
    authors, `export/torch/step_NNNNNNNN.pt`.

    Returns:
        the path of the folder or file that was written, in a list.

    Raises:
        InvalidArgument: without a checkpoint of this network, if the version exists, or for a
            network that the authors' code does not have.
        RunError: if it cannot be written, or if the written model gives other answers than the
            model in memory.
    """
    model = build.build_model(config)
    folder = os.path.join(workdir, "export")
    if config.export.format == "torch":
        return [_export_torch(config, workdir, model, folder)]
    return [_export_saved_model(config, workdir, model, folder)]


def build_served_energy(config: ConfigDict, model: EnergyModel, sampler: Sampler) -> ServedEnergy:
    """The functions that a server offers of a trained model and its sampler."""
    return ServedEnergy(
        energy_fn=model.energy,
        score_fn=model.score,
        denoise_fn=model.denoise,
        sample_fn=sampler.draw,
        inpaint_fn=sampler.inpaint,
        image_shape=model.image_shape,
        max_batch_size=config.export.max_batch_size,
        variables=[variable.value for variable in model.trained_network.variables],
    )


def _export_torch(config: ConfigDict, workdir: str, model: EnergyModel, folder: str) -> str:
    step = _restore(config, workdir, model)
    path = os.path.join(folder, "torch", f"step_{step:08d}.pt")
    write_state_dict(path, to_state_dict(model.trained_network))
    return path


def _export_saved_model(config: ConfigDict, workdir: str, model: EnergyModel, folder: str) -> str:
    statistics = load_statistics(build.statistics_path(workdir))
    sampler = build_sampler(config, model, statistics)
    version_folder = _new_version(folder, config.export.version)
    step = _restore(config, workdir, model)
    _LOGGER.info("exporting the checkpoint of step %d to %s", step, version_folder)
    write_saved_model(
        build_served_energy(config, model, sampler),
        version_folder,
        image_shape=model.image_shape,
        provenance=_provenance(config, step),
    )
    return version_folder


def _restore(config: ConfigDict, workdir: str, model: EnergyModel) -> int:
    """Restores the weights of the chosen checkpoint and returns its step."""
    return restore_weights(os.path.join(workdir, "checkpoints"), model, config.checkpoint)


def _new_version(folder: str, version: int) -> str:
    """The folder of a new version; version 0 means the number after the largest existing one."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    existing = [int(name) for name in names if name.isdecimal()]
    version = version or max(existing, default=0) + 1
    path = os.path.join(folder, str(version))
    if version in existing:
        raise InvalidArgument("config.export.version", "be one that does not exist yet", path)
    return path


def _provenance(config: ConfigDict, step: int) -> dict[str, Any]:
    """Software versions, step, kind of weights, and configuration of an export."""
    return {
        "tf_mdsm": tf_mdsm.__version__,
        "tensorflow": tf.__version__,
        "step": step,
        "weights": "averaged" if config.optimizer.ema_momentum else "raw",
        "config": config.to_dict(),
    }
