"""Export of a trained energy as StableHLO programs, checked against the model in memory."""

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import RunError, one_line
from tf_mdsm.serving.answers import TOLERANCE, require_same_answer
from tf_mdsm.serving.energy_functions import EnergyFunctions
from tf_mdsm.serving.example_requests import example_requests
from tf_mdsm.serving.stablehlo_lowering import LoweredFunction, lower, require_jaxlib
from tf_mdsm.serving.stablehlo_model import FORMAT, MODEL_FILE, WEIGHTS_FILE, StableHloModel
from tf_mdsm.system.atomic import atomic_folder, write_json

__all__ = ["write_stablehlo"]

_LOGGER = logging.getLogger(__name__)


def write_stablehlo(
    functions: EnergyFunctions,
    folder: str,
    *,
    image_shape: tuple[int, int, int],
    batch_sizes: Sequence[int],
    weights: Mapping[str, tf.Variable],
    provenance: Mapping[str, Any],
    tolerance: float = TOLERANCE,
) -> None:
    """Writes a StableHLO export, atomically: the folder appears only after the following check.

    Every program is loaded and run by `StableHloModel`. Its answers to one request must be those
    of the model in memory.

    Args:
        functions: what to export.
        folder: the folder to write, which must not exist.
        image_shape: height, width and channels of the model's images.
        batch_sizes: numbers of images for which a program of each signature is written.
        weights: all variables that the functions read, by name.
        provenance: what the export is made from; written to `model.json`.
        tolerance: largest allowed difference of an answer, relative to its largest value.

    Raises:
        InvalidArgument: without jaxlib.
        RunError: if XLA cannot compile a function, if the folder cannot be written, or if the
            export gives other answers than the model in memory.
    """
    provenance = {"jaxlib": require_jaxlib().__version__, **provenance}
    programs: list[dict[str, Any]] = []
    arrays: dict[str, Any] = {}
    try:
        with atomic_folder(folder) as partial:
            for size in batch_sizes:
                for signature, inputs in example_requests(image_shape, size).items():
                    _LOGGER.info("lowering %s for %d images", signature, size)
                    lowered = _lowered(functions, signature, inputs, weights)
                    file = f"{signature}_{size}.stablehlo"
                    with open(os.path.join(partial, file), "wb") as program:
                        program.write(lowered.artifact)
                    programs.append(
                        {
                            "signature": signature,
                            "batch_size": size,
                            "file": file,
                            "arguments": _shapes_and_dtypes(inputs),
                            "weights": _collect_weights(lowered, inputs, weights, arrays),
                            "outputs": lowered.outputs,
                        }
                    )
            np.savez(os.path.join(partial, WEIGHTS_FILE), **arrays)
            description = {
                "format": FORMAT,
                "image_shape": image_shape,
                "provenance": provenance,
                "programs": programs,
                "weights": _shapes_and_dtypes(arrays),
            }
            write_json(description, os.path.join(partial, MODEL_FILE))
            _LOGGER.info("comparing the export with the model in memory")
            _require_same_answers(functions, partial, image_shape, batch_sizes, tolerance)
    except OSError as error:
        raise RunError(f"{folder} could not be written ({one_line(error)})") from error


def _lowered(
    functions: EnergyFunctions,
    signature: str,
    inputs: Mapping[str, np.ndarray],
    weights: Mapping[str, tf.Variable],
) -> LoweredFunction:
    """A signature's function, lowered for inputs of the shapes of the given ones."""
    arguments = {name: tf.TensorSpec(each.shape, each.dtype) for name, each in inputs.items()}
    try:
        return lower(getattr(functions, signature), arguments, weights)
    except (ValueError, tf.errors.OpError) as error:
        raise RunError(
            f"not exported: {signature} cannot be lowered ({one_line(error)})"
        ) from error


def _collect_weights(
    lowered: LoweredFunction,
    arguments: Mapping[str, Any],
    weights: Mapping[str, tf.Variable],
    arrays: dict[str, np.ndarray],
) -> list[str]:
    """Adds what a program reads to the arrays of all programs; returns its names, in order.

    A constant that several programs hold is kept once.
    """
    names = []
    for name in lowered.inputs[len(arguments) :]:
        if name in weights:
            arrays[name] = weights[name].numpy()
        else:
            value = lowered.constants[name]
            digest = hashlib.sha256(value.tobytes()).hexdigest()[:16]
            name = f"constant/{value.dtype}{list(value.shape)}/{digest}"
            arrays[name] = value
        names.append(name)
    return names


def _shapes_and_dtypes(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Shapes and dtypes by name, for JSON."""
    return {
        name: {"shape": array.shape, "dtype": array.dtype.name} for name, array in arrays.items()
    }


def _require_same_answers(
    functions: EnergyFunctions,
    folder: str,
    image_shape: tuple[int, int, int],
    batch_sizes: Sequence[int],
    tolerance: float,
) -> None:
    """Compares the answers of the model in memory and of every program in a folder.

    Raises:
        RunError: if an answer differs or is not finite.
    """
    model = StableHloModel(folder)
    for signature, example in example_requests(image_shape).items():
        specs = {
            name: tf.TensorSpec([None, *array.shape[1:]], array.dtype, name)
            for name, array in example.items()
        }
        function = tf.function(
            getattr(functions, signature), input_signature=list(specs.values()), autograph=False
        )
        for size in batch_sizes:
            inputs = example_requests(image_shape, size)[signature]
            live = function(*(tf.constant(array) for array in inputs.values()))
            shapes = {key: tuple(answer.shape[1:]) for key, answer in live.items()}
            exported = model.run(signature, inputs, shapes)
            for key, answer in live.items():
                require_same_answer(
                    f"{signature}: {key}", exported[key], answer.numpy(), tolerance=tolerance
                )
