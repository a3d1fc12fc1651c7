"""Weights that the authors published: which of their networks they are, in our terms."""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Mapping

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import STAGES
from tf_mdsm.networks.pytorch_layout import (
    HEAD_NAMES,
    Entry,
    entries,
    feature_shape,
    to_our_layout,
    unused_value,
)

__all__ = ["Published", "read_published"]

_FIELD = "--torch_checkpoint"

# The normalisation layers that the authors' blocks own, and their networks do not use.
_NORMALISATION = re.compile(r"rbc?\d+\.bn[12]\.(weight|bias)")


@dataclasses.dataclass(frozen=True)
class Published:
    """A network of the authors in our terms.

    Attributes:
        name, image_shape, channels, head: as `build_network` takes them.
        weights: an array for every variable, by its path ("stem/kernel"), float32.
    """

    name: str
    image_shape: tuple[int, int, int]
    channels: int
    head: str
    weights: dict[str, np.ndarray]


def read_published(state: Mapping[str, np.ndarray]) -> Published:
    """Which network of the authors' a state_dict is, and its weights.

    The names tell the network and the head, the shapes its width and the images' size. Names
    may all begin with `module.`, as those of a network that was trained on several GPUs do.

    Raises:
        InvalidArgument: if it is none of theirs, saying what is unknown, missing or misshapen;
            or if its weights are no finite numbers.
    """
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): array for name, array in state.items()}
    for unused in filter(_NORMALISATION.fullmatch, state):
        if not np.all(state[unused] == unused_value(unused)):
            untrained = "hold a network without normalisation, as all published ones are"
            raise InvalidArgument(_FIELD, untrained, f"trained values as {unused}")
    state = {name: array for name, array in state.items() if not _NORMALISATION.fullmatch(name)}
    name, head = _recognise(state)
    channels, image_shape = _sizes(state, name, head)
    used = [entry for entry in entries(name, image_shape, channels, head) if entry.path]
    for entry in used:
        _check(state[entry.name], entry)
    features = feature_shape(name, image_shape, channels)
    weights = {
        entry.path: to_our_layout(state[entry.name].astype(np.float32, copy=False), features)
        for entry in used
    }
    return Published(name, image_shape, channels, head, weights)


def _recognise(state: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """Name and head of the network whose arrays have these names."""
    # Any size does: names do not depend on it.
    names = {
        (name, head): {entry.name for entry in entries(name, (1, 1, 1), 1, head) if entry.path}
        for name, head in itertools.product(STAGES, HEAD_NAMES)
    }
    found = min(names, key=lambda network: len(names[network] ^ state.keys()))
    unknown, missing = state.keys() - names[found], names[found] - state.keys()
    if unknown or missing:
        lacks = [f"{len(unknown)} unknown ({_listed(unknown)})"] if unknown else []
        lacks += [f"{len(missing)} missing ({_listed(missing)})"] if missing else []
        name, head = found
        raise InvalidArgument(
            _FIELD,
            f"hold one of the authors' networks ({name}, {head} head, comes closest)",
            f"{len(state)} arrays, {', '.join(lacks)}",
        )
    return found


def _listed(names: Iterable[str]) -> str:
    first = [repr(name) for name in sorted(names)]
    return ", ".join(first[:3]) + (", …" if len(first) > 3 else "")


def _sizes(
    state: Mapping[str, np.ndarray], name: str, head: str
) -> tuple[int, tuple[int, int, int]]:
    """Width of the first layer, and the images' shape: the head's features make a square."""
    stem, dense = "conv1.conv.weight", next(iter(HEAD_NAMES[head].values()))
    kernel, weights = state[stem].shape, state[dense].shape
    if len(kernel) == 4 and len(weights) == 2 and min(kernel) > 0:
        channels, colours = kernel[:2]
        factor = 2 ** len(STAGES[name])
        side = math.isqrt(weights[1] // (channels * factor))
        if side and side**2 * channels * factor == weights[1]:
            return channels, (side * factor, side * factor, colours)
    raise InvalidArgument(
        _FIELD,
        f"hold {stem} and {dense} of shapes that one {name} for square images has",
        f"{kernel} and {weights}",
    )


def _check(array: np.ndarray, entry: Entry) -> None:
    if array.shape != entry.shape:
        raise InvalidArgument(
            _FIELD, f"hold {entry.name} of shape {entry.shape}, as its others ask", array.shape
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidArgument(_FIELD, f"hold floating-point numbers as {entry.name}", array.dtype)
    if not np.isfinite(array).all():
        count = array.size - np.count_nonzero(np.isfinite(array))
        raise InvalidArgument(
            _FIELD, f"hold finite numbers as {entry.name}", f"{count} NaN or infinite"
        )
