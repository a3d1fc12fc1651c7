"""`--mode=export`: writes a run's trained model as a SavedModel, or its weights for PyTorch."""

import functools
import logging
import os
from typing import Any

import tensorflow as tf
from ml_collections import ConfigDict

import tf_mdsm
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.pytorch_weights import to_state_dict
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.samplers.base import Method
from tf_mdsm.serving.saved_model import write_saved_model
from tf_mdsm.serving.signatures import ServedEnergy
from tf_mdsm.system.torch_files import write_state_dict
from tf_mdsm.weightings import trains_denoiser

__all__ = ["build_served_energy", "export", "export_model", "run_provenance"]

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
    if config.export.format == "torch":
        return [_export_torch(load_run(config, workdir))]
    # The version is checked before the checkpoint is read.
    folder = _new_version(RunFolder(workdir), config.export.version)
    return [_export_saved_model(load_run(config, workdir), folder)]


def export_model(
    model: EnergyModel, method: Method, folder: str, *, max_batch_size: int, provenance: dict
) -> None:
    """Writes a SavedModel of a trained model, and of a method to sample it.

    Args:
        model: the model.
        method: how signature `sample` and `inpaint` sample it.
        folder: the folder to write, which must not exist; its name is the version number.
        max_batch_size: largest number of images in a request.
        provenance: what the export is made from, besides the versions of the software.

    Raises:
        RunError: if it cannot be written, or if the written model gives other answers than the
            model in memory.
    """
    versions = {"tf_mdsm": tf_mdsm.__version__, "tensorflow": tf.__version__}
    write_saved_model(
        build_served_energy(model, method, max_batch_size),
        folder,
        image_shape=model.image_shape,
        provenance={**versions, **provenance},
    )


def run_provenance(run: LoadedRun) -> dict[str, Any]:
    """What an export is made from: step, kind of weights, whether D denoises, configuration."""
    return {
        "step": run.step,
        "weights": run.weights,
        "is_denoiser": trains_denoiser(run.config.noise.weighting),
        "config": run.config.to_dict(),
    }


def build_served_energy(model: EnergyModel, method: Method, max_batch_size: int) -> ServedEnergy:
    """The functions that a server offers of a trained model, and of a method to sample it."""
    return ServedEnergy(
        energy_fn=model.energy,
        score_fn=model.score,
        denoise_fn=model.denoise,
        sample_fn=functools.partial(method.sample, model),
        inpaint_fn=functools.partial(method.inpaint, model),
        image_shape=model.image_shape,
        max_batch_size=max_batch_size,
        variables=[variable.value for variable in model.inference_network.variables],
    )


def _export_torch(run: LoadedRun) -> str:
    """Writes the weights under the names of the authors' PyTorch code; returns the path."""
    path = run.folder.torch_weights(run.step)
    write_state_dict(path, to_state_dict(run.model.inference_network))
    return path


def _export_saved_model(run: LoadedRun, folder: str) -> str:
    """Writes the SavedModel of a run into a new folder; returns the folder."""
    _LOGGER.info("exporting the checkpoint of step %d to %s", run.step, folder)
    if not trains_denoiser(run.config.noise.weighting):
        _LOGGER.warning(
            'noise.weighting="%s" trains no denoiser: the signatures denoise and noise_level give '
            "x - sigma0^2 dE/dx and its distance from x, no denoised image and no noise level",
            run.config.noise.weighting,
        )
    export_model(
        run.model,
        run.method,
        folder,
        max_batch_size=run.config.export.max_batch_size,
        provenance=run_provenance(run),
    )
    return folder


def _new_version(folder: RunFolder, version: int) -> str:
    """The folder of a new version; version 0 means the number after the largest existing one."""
    names = os.listdir(folder.exports) if os.path.isdir(folder.exports) else []
    existing = [int(name) for name in names if name.isdecimal()]
    version = version or max(existing, default=0) + 1
    path = folder.exported_version(version)
    if version in existing:
        raise InvalidArgument("config.export.version", "be one that does not exist yet", path)
    return path
