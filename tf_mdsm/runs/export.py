"""`--mode=export`: a run's model as a SavedModel, as StableHLO, or its weights for PyTorch."""

import functools
import logging
import os
from collections.abc import Mapping
from typing import Any, cast

import tensorflow as tf
from ml_collections import ConfigDict

import tf_mdsm
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.energy_network import layers_computing_in
from tf_mdsm.networks.pytorch_weights import to_state_dict
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.runs.loaded_run import LoadedRun, load_run
from tf_mdsm.samplers.base import Method, Target
from tf_mdsm.samplers.guided import GuidedTarget
from tf_mdsm.samplers.sized import SizedTarget
from tf_mdsm.serving.answers import BFLOAT16_TOLERANCE, TOLERANCE
from tf_mdsm.serving.energy_functions import EnergyFunctions
from tf_mdsm.serving.saved_model import write_saved_model
from tf_mdsm.serving.signatures import ServedEnergy
from tf_mdsm.serving.stablehlo_export import write_stablehlo
from tf_mdsm.serving.stablehlo_lowering import require_jaxlib
from tf_mdsm.system.torch_files import write_state_dict
from tf_mdsm.weightings import trains_denoiser

__all__ = ["export", "export_model", "run_provenance"]

_LOGGER = logging.getLogger(__name__)


def export(config: ConfigDict, workdir: str) -> list[str]:
    """Writes the model or the weights of a run's checkpoint for other programs.

    `config.export.format` "saved_model" gives a SavedModel for TensorFlow Serving,
    `export/<version>`. "stablehlo" gives programs for other runtimes, `export/stablehlo/<version>`.
    "torch" gives the weights as a state_dict with the names of the paper's authors,
    `export/torch/step_NNNNNNNN.pt`.

    Returns:
        the path of the folder or file that was written, in a list.

    Raises:
        InvalidArgument: without a checkpoint of this network, if the version exists, without the
            package that the format needs, or for a network that the authors' code does not have.
        RunError: if it cannot be written, or if what was written gives other answers than the
            model in memory.
    """
    if config.export.format == "torch":
        return [_export_torch(load_run(config, workdir))]
    # What can be refused is refused before the checkpoint is read.
    folder = _new_version(RunFolder(workdir), config.export.format, config.export.version)
    run = load_run(config, workdir)
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
        run.config.export,
        target=run.target,
        provenance=run_provenance(run),
    )
    return [folder]


def export_model(
    model: EnergyModel,
    method: Method,
    folder: str,
    settings: ConfigDict,
    *,
    target: Target,
    provenance: Mapping[str, Any],
) -> None:
    """Writes a trained model, and a method to sample it, as a SavedModel or as StableHLO.

    Args:
        model: the model.
        method: how signature `sample` and `inpaint` sample it.
        folder: the folder to write, which must not exist. For a server its name is the version.
        settings: `config.export`.
        target: what is sampled: the model for images of one size, which is also that of all images
            of StableHLO programs; or with a guide.
        provenance: what the export is made from, besides the versions of the software.

    Raises:
        InvalidArgument: without the package that the format needs.
        RunError: if it cannot be written, or if the written model gives other answers than the
            model in memory.
    """
    functions = EnergyFunctions(
        energy_fn=model.energy,
        score_fn=model.score,
        denoise_fn=model.denoise,
        sample_fn=functools.partial(method.sample, target),
        inpaint_fn=functools.partial(method.inpaint, target),
    )
    energies = [model, *_guides(target)]
    networks = [energy.inference_network for energy in energies]
    variables = [variable for network in networks for variable in network.variables]
    weights = {variable.path: variable.value for variable in variables}
    of_start = getattr(method.start, "variables", [])
    weights |= {variable.name.removesuffix(":0"): variable for variable in of_start}
    versions = {"tf_mdsm": tf_mdsm.__version__, "tensorflow": tf.__version__}
    sampled = {
        "method": type(method).__name__,
        "max_gradient_evaluations": method.max_gradient_evaluations,
        "sample_shape": list(target.image_shape),
        "is_denoiser": trains_denoiser(model.noise.weighting),
    }
    is_rounded = any(layers_computing_in(network, "bfloat16") for network in networks)
    described: dict[str, Any] = {
        "image_shape": target.image_shape,
        "provenance": {**versions, **sampled, **provenance},
        "tolerance": BFLOAT16_TOLERANCE if is_rounded else TOLERANCE,
    }
    if settings.format == "stablehlo":
        batch_sizes = [int(size) for size in settings.batch_sizes.split(",")]
        write_stablehlo(
            functions,
            folder,
            batch_sizes=batch_sizes,
            weights=weights,
            **described,
        )
    else:
        served = ServedEnergy(
            functions,
            image_shape=model.image_shape,
            sample_shape=target.image_shape,
            smallest_side=model.smallest_side,
            max_batch_size=settings.max_batch_size,
            weights=weights,
        )
        if None in model.image_shape:
            height, width, channels = target.image_shape
            described["other_shape"] = (height + 3, width + 1, channels)
        write_saved_model(served, folder, **described)


def _guides(target: Target) -> list[EnergyModel]:
    """The models besides the target's own whose weights its sampling reads."""
    if not isinstance(target, GuidedTarget):
        return []
    guide = target.guide
    return [cast(EnergyModel, guide.target if isinstance(guide, SizedTarget) else guide)]


def run_provenance(run: LoadedRun, method: Method | None = None) -> dict[str, Any]:
    """What an export is made from: step, weights, configuration.

    Without `method` samples are the run's own. With another one they are not by the run's settings
    of sampling, nor by its guide.
    """
    config = run.config.to_dict()
    if method is not None:
        config.pop("sampling")
    of_samples = run.weights_of_samples if method is None else run.weights
    evaluations = (method or run.method).max_gradient_evaluations * run.networks
    return {
        "step": run.step,
        "weights": of_samples,
        "max_gradient_evaluations": evaluations,
        "config": config,
    }


def _export_torch(run: LoadedRun) -> str:
    """Writes the weights under the names of the authors' PyTorch code; returns the path."""
    path = run.folder.torch_weights(run.step)
    write_state_dict(path, to_state_dict(run.model.inference_network))
    return path


def _new_version(folder: RunFolder, export_format: str, version: int) -> str:
    """The folder of a new export.

    Args:
        folder: the run's folder.
        export_format: "saved_model" or "stablehlo".
        version: the version's number; 0 is one more than the largest that exists.

    Raises:
        InvalidArgument: if the version exists, or without the package that the format needs.
    """
    if export_format == "stablehlo":
        require_jaxlib()
    exports = folder.stablehlo_exports if export_format == "stablehlo" else folder.exports
    names = os.listdir(exports) if os.path.isdir(exports) else []
    existing = [int(name) for name in names if name.isdecimal()]
    version = version or max(existing, default=0) + 1
    path = os.path.join(exports, str(version))
    if version in existing:
        raise InvalidArgument("config.export.version", "be one that does not exist yet", path)
    return path
