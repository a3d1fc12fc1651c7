"""Export of a served energy as a SavedModel, checked against the model in memory."""

import json
import logging
import os
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import RunError, one_line
from tf_mdsm.serving.answers import TOLERANCE, require_same_answer
from tf_mdsm.serving.example_requests import example_requests
from tf_mdsm.serving.signatures import ServedEnergy
from tf_mdsm.serving.warmup_requests import write_warmup_requests
from tf_mdsm.system.atomic import atomic_folder
from tf_mdsm.system.plain_paths import plain_name

__all__ = ["write_saved_model"]

_LOGGER = logging.getLogger(__name__)


# Signatures that take images of any size, if the network does.
_OF_ANY_SIZE = ("energy", "score", "denoise", "noise_level")


def write_saved_model(
    served: ServedEnergy,
    folder: str,
    *,
    image_shape: tuple[int, int, int],
    other_shape: tuple[int, int, int] | None = None,
    provenance: dict[str, Any],
    tolerance: float = TOLERANCE,
) -> None:
    """Writes a SavedModel, atomically: the folder appears only after the following check.

    The SavedModel is loaded into a version-1 session, as TensorFlow Serving does. Its answers to
    one request for each signature must be those of the model in memory. The same requests are
    written as warm-up requests.

    Args:
        served: the functions to export.
        folder: the folder to write, which must not exist; its name is the version number.
        image_shape: height, width and channels of the images that it samples.
        other_shape: another size, which the signatures that take images of any size must answer
            alike; None if there are none.
        provenance: what the export was made from; written to `assets.extra/tf_mdsm.json`, after
            `max_batch_size`, the largest number of images of a request.
        tolerance: largest difference to the model in memory, relative to an answer's largest
            absolute value.

    Raises:
        RunError: if the folder cannot be written, or if the written model gives other answers
            than the model in memory.
    """
    requests = example_requests(image_shape)
    try:
        with atomic_folder(folder) as written, plain_name(written) as partial:
            tf.saved_model.save(
                served,
                partial,
                signatures=served.signatures,
                options=tf.saved_model.SaveOptions(namespace_whitelist=[]),
            )
            extra = os.path.join(partial, "assets.extra")
            os.mkdir(extra)
            write_warmup_requests(os.path.join(extra, "tf_serving_warmup_requests"), requests)
            with open(os.path.join(extra, "tf_mdsm.json"), "w", encoding="utf-8") as file:
                limit = {"max_batch_size": served.max_batch_size}
                json.dump({**limit, **provenance}, file, indent=2)
            _LOGGER.info("comparing the export with the model in memory")
            _require_same_answers(served, partial, requests, tolerance)
            if other_shape is not None:
                others = example_requests(other_shape)
                others = {name: others[name] for name in _OF_ANY_SIZE}
                _require_same_answers(served, partial, others, tolerance)
    except (OSError, tf.errors.OpError) as error:
        raise RunError(f"{folder} could not be written ({one_line(error)})") from error


def _require_same_answers(
    served: ServedEnergy,
    folder: str,
    requests: dict[str, dict[str, np.ndarray]],
    tolerance: float,
) -> None:
    """Compares the answers of the model in memory and of the SavedModel in a folder.

    Raises:
        RunError: if an answer differs or is not finite.
    """
    live = {
        name: served.signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
        for name, inputs in requests.items()
    }
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        for name, inputs in requests.items():
            signature = loaded.signature_def[name]
            feeds = {signature.inputs[key].name: value for key, value in inputs.items()}
            fetches = {key: info.name for key, info in signature.outputs.items()}
            for key, answer in session.run(fetches, feeds).items():
                expected = live[name][key].numpy()
                require_same_answer(f"{name}: {key}", answer, expected, tolerance=tolerance)
