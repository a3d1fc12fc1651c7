"""An exported SavedModel in this process, with the methods of a server's client."""

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.serving.requests import EnergyRequests, in_parts
from tf_mdsm.system.plain_paths import plain_name

__all__ = ["SAVED_MODEL_FILE", "LoadedSavedModel"]

# The file by which a SavedModel is known.
SAVED_MODEL_FILE = "saved_model.pb"


class LoadedSavedModel(EnergyRequests):
    """A trained energy and its sampler, loaded from what `--mode=export` wrote.

    Args:
        folder: the folder of one version, "runs/digits/export/1".

    Raises:
        InvalidArgument: if it is no SavedModel, or one without the signatures of tf_mdsm.
    """

    def __init__(self, folder: str | os.PathLike):
        requirement = "be a SavedModel of tf_mdsm"
        path = os.fspath(folder)
        try:
            with plain_name(path) as plain:
                self._loaded: Any = tf.saved_model.load(plain)
            signatures = self._loaded.signatures
            self._shape = _sizes(signatures["energy"])
            self._sample_shape = _sizes(signatures["inpaint"])
            self._max_batch_size = _max_batch_size(path)
        except (OSError, tf.errors.OpError, KeyError, ValueError) as error:
            raise InvalidArgument("folder", requirement, f"{path} ({one_line(error)})") from error

    @property
    def image_shape(self) -> tuple[int | None, int | None, int]:
        """Height, width and channels of the images; None for any height and width."""
        return self._shape

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images of `sample` and `inpaint`."""
        return self._sample_shape

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> dict[str, np.ndarray]:
        """Runs a signature, in parts of at most as many images as the export takes.

        Raises:
            InvalidArgument: for a signature that the export lacks.
            RunError: if it fails.
        """
        function = self._loaded.signatures.get(signature)
        if function is None:
            raise InvalidArgument("signature", "be one that was exported", signature)
        try:
            replies = [
                function(**{name: tf.constant(array) for name, array in part.items()})
                for part in in_parts(inputs, self._max_batch_size)
            ]
        except tf.errors.OpError as error:
            raise RunError(f"{signature} failed ({one_line(error)})") from error
        return {name: np.concatenate([reply[name] for reply in replies]) for name in shapes}


def _sizes(function: Any) -> Any:
    """Height, width and channels of a signature's images."""
    _, inputs = function.structured_input_signature
    return tuple(inputs["images"].shape[1:])


def _max_batch_size(folder: str) -> int:
    """The largest number of images that an export takes at once, by its note about itself.

    Earlier versions noted it among the run's settings only.
    """
    with open(os.path.join(folder, "assets.extra", "tf_mdsm.json"), encoding="utf-8") as file:
        note = json.load(file)
    settings = note if "max_batch_size" in note else note["config"]["export"]
    return int(settings["max_batch_size"])
