"""The export run: a trained energy for other programs, above all for a server."""

import json
import logging
import os

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

import tf_mdsm
from tf_mdsm.datasets.image_statistics import load_statistics
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.networks.pytorch_weights import to_state_dict
from tf_mdsm.runs import build_model as build
from tf_mdsm.runs.build_sampler import build_sampler
from tf_mdsm.serving.signatures import ServedEnergy
from tf_mdsm.serving.warmup_requests import write_warmup_requests
from tf_mdsm.system.atomic import atomic_folder
from tf_mdsm.system.torch_files import write_state_dict
from tf_mdsm.training.checkpoints import restore_weights

__all__ = ["export"]

_LOGGER = logging.getLogger(__name__)

# Largest difference, relative to the largest value, between the live model and the reloaded one.
_TOLERANCE = 1e-5


def export(config: ConfigDict, workdir: str) -> str:
    """Writes a run's checkpoint for other programs.

    `config.export.format` is "saved_model" for `export/<version>`, or "torch" for the weights
    as a state_dict under the authors' names, `export/torch/step_NNNNNNNN.pt`.

    Returns:
        the folder or file that was written.

    Raises:
        InvalidArgument: without a checkpoint of this network, if the version exists, or for a
            network that the authors do not have.
        RunError: if it cannot be written, or what was written computes something else.
    """
    model = build.build_model(config)
    folder = os.path.join(workdir, "export")
    if config.export.format == "torch":
        step = _restore(config, workdir, model)
        path = os.path.join(folder, "torch", f"step_{step:08d}.pt")
        write_state_dict(path, to_state_dict(model.trained_network))
        return path
    statistics = load_statistics(build.statistics_path(workdir))
    sampler = build_sampler(config, model, statistics)
    target = _new_version(folder, config.export.version)
    step = _restore(config, workdir, model)
    _LOGGER.info("exporting the checkpoint of step %d to %s", step, target)
    served = build.build_served(config, model, sampler)
    _write(served, target, _probes(model.image_shape), _provenance(config, step))
    return target


def _restore(config: ConfigDict, workdir: str, model: EnergyModel) -> int:
    return restore_weights(os.path.join(workdir, "checkpoints"), model, config.checkpoint)


def _write(served: ServedEnergy, target: str, probes: dict, provenance: dict) -> None:
    """Writes the SavedModel beside its place, reloads it as a server does, compares it with the
    live model, and moves it in place."""
    try:
        with atomic_folder(target) as partial:
            tf.saved_model.save(
                served,
                partial,
                signatures=served.signatures,
                options=tf.saved_model.SaveOptions(namespace_whitelist=[]),
            )
            extra = os.path.join(partial, "assets.extra")
            os.mkdir(extra)
            write_warmup_requests(os.path.join(extra, "tf_serving_warmup_requests"), probes)
            with open(os.path.join(extra, "tf_mdsm.json"), "w", encoding="utf-8") as file:
                json.dump(provenance, file, indent=2)
            _LOGGER.info("comparing it with the model in memory")
            _require_same(served, partial, probes)
    except (OSError, tf.errors.OpError) as error:
        raise RunError(f"{target} could not be written ({one_line(error)})") from error


def _new_version(folder: str, version: int) -> str:
    """The folder of the version asked for, or of the next one."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    taken = [int(name) for name in names if name.isdecimal()]
    version = version or max(taken, default=0) + 1
    path = os.path.join(folder, str(version))
    if version in taken:
        raise InvalidArgument("config.export.version", "be one that does not exist yet", path)
    return path


def _provenance(config: ConfigDict, step: int) -> dict:
    return {
        "tf_mdsm": tf_mdsm.__version__,
        "tensorflow": tf.__version__,
        "step": step,
        "weights": "averaged" if config.optimizer.ema_momentum else "raw",
        "config": config.to_dict(),
    }


def _probes(image_shape: tuple[int, int, int]) -> dict[str, dict[str, np.ndarray]]:
    """One small request for each signature."""
    images = np.random.default_rng(0).uniform(size=(1, *image_shape)).astype(np.float32)
    mask = np.zeros((1, *image_shape[:2], 1), np.float32)
    mask[:, : (image_shape[0] + 1) // 2] = 1
    seed = np.zeros(1, np.int64)
    return {
        "sample": {"seed": seed},
        "energy": {"images": images},
        "score": {"images": images},
        "denoise": {"images": images},
        "inpaint": {"images": images, "mask": mask, "seed": seed},
    }


def _require_same(served: ServedEnergy, folder: str, probes: dict) -> None:
    """Compares each signature as the live model answers it and as a server would.

    Raises:
        RunError: if they differ, or the answer is not finite.
    """
    live = {
        name: served.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        for name, inputs in probes.items()
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for name, inputs in probes.items():
            signature = loaded.signature_def[name]
            feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
            fetches = {key: info.name for key, info in signature.outputs.items()}
            for key, answer in session.run(fetches, feeds).items():
                _compare(f"{name}: {key}", answer, live[name][key].numpy())


def _compare(what: str, served: np.ndarray, live: np.ndarray) -> None:
    if not (np.isfinite(live).all() and np.isfinite(served).all()):
        raise RunError(f"not exported: {what} is not finite")
    difference = np.abs(served - live).max() / max(np.abs(live).max(), 1e-30)
    if difference > _TOLERANCE:
        raise RunError(f"not exported: {what} of the written model differs by {difference:.1e}")
