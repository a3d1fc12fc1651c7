"""The authors' published PyTorch weights: state_dict to our network's weights, and back.

Works on arrays by name; `system.torch_files` reads and writes the files.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import RESNET_STAGES
from tf_mdsm.networks.pytorch_layout import (
    HEAD_WEIGHT_NAMES,
    StateDictEntry,
    feature_shape,
    state_dict_entries,
    to_keras_layout,
    to_pytorch_layout,
    untrained_normalization_value,
)

if TYPE_CHECKING:
    import keras

__all__ = ["PublishedNetwork", "from_state_dict", "to_state_dict"]

_FIELD = "--torch_checkpoint"

# The normalization layers that the authors' residual blocks own, but do not use.
_NORMALIZATION = re.compile(r"rbc?\d+\.bn[12]\.(weight|bias)")


@dataclasses.dataclass(frozen=True)
class PublishedNetwork:
    """One of the authors' networks, with its weights in the layout of our network.

    Attributes:
        name: name of the network, as for `build_network`.
        image_shape: height, width, channels of the images.
        channels: width of the first layer.
        head: name of the head.
        weights: an array, float32, for the path of each variable ("stem/kernel").
    """

    name: str
    image_shape: tuple[int, int, int]
    channels: int
    head: str
    weights: dict[str, np.ndarray]


def from_state_dict(state: Mapping[str, np.ndarray]) -> PublishedNetwork:
    """Identifies the authors' network that a state_dict belongs to, and converts its weights.

    The names of the arrays determine the network and its head; the shapes determine the width and
    the size of the images. All names may begin with `module.`, as they do for a network that was
    trained on several GPUs.

    Args:
        state: the arrays of the state_dict by their names, in PyTorch's layout.

    Raises:
        InvalidArgument: if it is not a state_dict of the authors' networks (the message lists the
            arrays that are unknown, missing or of the wrong shape), or if weights are not finite.
    """
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): array for name, array in state.items()}
    state = _without_normalization(state)
    name, head = _identify(state)
    channels, image_shape = _infer_sizes(state, name, head)
    features = feature_shape(name, image_shape, channels)
    weights = {}
    for entry in state_dict_entries(name, image_shape, channels, head):
        if entry.variable_path:
            array = state[entry.name]
            _check_array(array, entry)
            array = array.astype(np.float32, copy=False)
            weights[entry.variable_path] = to_keras_layout(array, features)
    return PublishedNetwork(name, image_shape, channels, head, weights)


def to_state_dict(network: "keras.Model") -> dict[str, np.ndarray]:
    """A network's weights as the authors' state_dict, float32, for their `load_state_dict`.

    It is complete: the unused normalization layers are included with their untrained values.

    Raises:
        InvalidArgument: for a network that the authors' code does not have.
    """
    if network.name not in RESNET_STAGES:
        requirement = (
            f"be saved_model for network {network.name}, which the authors' code does not have"
        )
        raise InvalidArgument("config.export.format", requirement, "torch")
    values = {variable.path: variable.numpy() for variable in network.variables}
    head = next(
        head
        for head, names in HEAD_WEIGHT_NAMES.items()
        if all(f"energy/{weight}" in values for weight in names)
    )
    image_shape, channels = tuple(network.input_shape[1:]), values["stem/bias"].size
    features = feature_shape(network.name, image_shape, channels)
    return {
        entry.name: to_pytorch_layout(values[entry.variable_path], features)
        if entry.variable_path
        else np.full(entry.shape, untrained_normalization_value(entry.name), np.float32)
        for entry in state_dict_entries(network.name, image_shape, channels, head)
    }


def _without_normalization(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Leaves out the arrays of the unused normalization layers, which must be untrained."""
    unused = {name: array for name, array in state.items() if _NORMALIZATION.fullmatch(name)}
    for name, array in unused.items():
        if not np.all(array == untrained_normalization_value(name)):
            requirement = "hold a network without normalization, like all published ones"
            raise InvalidArgument(_FIELD, requirement, f"trained values in {name}")
    return {name: array for name, array in state.items() if name not in unused}


def _identify(state: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Name and head of the network whose arrays have the names in `state`."""
    # The names do not depend on the sizes.
    names = {
        (name, head): {
            entry.name
            for entry in state_dict_entries(name, (1, 1, 1), 1, head)
            if entry.variable_path
        }
        for name, head in itertools.product(RESNET_STAGES, HEAD_WEIGHT_NAMES)
    }
    closest = min(names, key=lambda network: len(names[network] ^ state.keys()))
    unknown, missing = state.keys() - names[closest], names[closest] - state.keys()
    if unknown or missing:
        differences = [f"{len(unknown)} unknown ({_first_three(unknown)})"] if unknown else []
        differences += [f"{len(missing)} missing ({_first_three(missing)})"] if missing else []
        name, head = closest
        raise InvalidArgument(
            _FIELD,
            f"hold one of the authors' networks (the closest is {name} with {head} head)",
            f"{len(state)} arrays, {', '.join(differences)}",
        )
    return closest


def _first_three(names: Iterable[str]) -> str:
    """The first three names in alphabetical order, for a message."""
    quoted = [repr(name) for name in sorted(names)]
    return ", ".join(quoted[:3]) + (", …" if len(quoted) > 3 else "")


def _infer_sizes(
    state: Mapping[str, np.ndarray], name: str, head: str
) -> tuple[int, tuple[int, int, int]]:
    """Width of the first layer and shape of the images, from the shapes of two arrays.

    The images are square: the number of the head's weights then determines their side.
    """
    stem, dense = "conv1.conv.weight", next(iter(HEAD_WEIGHT_NAMES[head].values()))
    stem_shape, dense_shape = state[stem].shape, state[dense].shape
    if len(stem_shape) == 4 and len(dense_shape) == 2 and min(stem_shape) > 0:
        channels, image_channels = stem_shape[:2]
        factor = 2 ** len(RESNET_STAGES[name])
        feature_side = math.isqrt(dense_shape[1] // (channels * factor))
        if feature_side and feature_side**2 * channels * factor == dense_shape[1]:
            side = feature_side * factor
            return channels, (side, side, image_channels)
    raise InvalidArgument(
        _FIELD,
        f"hold {stem} and {dense} of shapes that fit one {name} for square images",
        f"{stem_shape} and {dense_shape}",
    )


def _check_array(array: np.ndarray, entry: StateDictEntry) -> None:
    """Refuses an array of the wrong shape, or without finite floating-point numbers."""
    if array.shape != entry.shape:
        requirement = f"hold {entry.name} of shape {entry.shape}, to fit its other arrays"
        raise InvalidArgument(_FIELD, requirement, array.shape)
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidArgument(_FIELD, f"hold floating-point numbers in {entry.name}", array.dtype)
    if not np.isfinite(array).all():
        count = array.size - np.count_nonzero(np.isfinite(array))
        requirement = f"hold finite numbers in {entry.name}"
        raise InvalidArgument(_FIELD, requirement, f"{count} NaN or infinite")
