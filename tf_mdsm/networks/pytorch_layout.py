"""The authors' PyTorch networks (MDSM, published code) and ours: names and layouts, both ways.

Arrays in, arrays out: no framework is needed to look into their weights.
"""

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import STAGES

if TYPE_CHECKING:
    import keras

__all__ = [
    "HEAD_NAMES",
    "Entry",
    "entries",
    "feature_shape",
    "state_dict",
    "to_our_layout",
    "unused_value",
]

# Weights of our heads, and the authors' names of them.
HEAD_NAMES = {
    "quadratic": {
        "kernel_1": "ln1.weight",
        "bias_1": "ln1.bias",
        "kernel_2": "ln2.weight",
        "bias_2": "ln2.bias",
        "kernel_square": "lq.weight",
        "constant": "lq.bias",
    },
    "linear": {"kernel": "ln.weight", "constant": "ln.bias"},
}


class Entry(NamedTuple):
    """One array of the authors' state_dict: its name and shape, and the path of the variable
    that it is in our network; none for the normalisation layers, which are not used."""

    name: str
    shape: tuple[int, ...]
    path: str | None


def entries(name: str, image_shape: tuple[int, int, int], channels: int, head: str) -> list[Entry]:
    """What the authors' state_dict of a network holds, in its order.

    Args:
        name: one of `architectures.STAGES`.
        image_shape: height, width, channels of the images.
        channels: width of the first layer.
        head: one of `architectures.HEADS`.
    """
    height, width, colours = image_shape
    found = _convolution("conv1.conv", "stem", (channels, colours, 3, 3))
    for stage, extra_blocks in enumerate(STAGES[name], start=1):
        for block in range(extra_blocks + 1):
            factor = 2**stage if block else 2 ** (stage - 1)
            shape = (channels * factor, height // factor, width // factor)
            found += _block(stage, block, shape, channels * 2**stage)
    size = math.prod(feature_shape(name, image_shape, channels))
    for ours, theirs in HEAD_NAMES[head].items():
        shape = (1, size) if theirs.endswith("weight") else (1,)
        found.append(Entry(theirs, shape, f"energy/{ours}"))
    return found


def _convolution(theirs: str, ours: str, shape: tuple[int, int, int, int]) -> list[Entry]:
    kernel = Entry(f"{theirs}.weight", shape, f"{ours}/kernel")
    return [kernel, Entry(f"{theirs}.bias", shape[:1], f"{ours}/bias")]


def _block(stage: int, block: int, shape: tuple[int, int, int], filters: int) -> list[Entry]:
    """`rb1` halves the image, `rbc1`, `rbc11`, `rbc111`, … follow it; `shape`: C, H, W before."""
    ours, theirs = f"stage{stage}_block{block}", f"rb{stage}"
    # Where a block halves, the pooling is a layer around the convolution.
    wrapped = "conv.conv"
    if block:
        theirs, wrapped = f"rbc{str(stage) * block}", "conv"
    before = shape[0]
    return [
        *(
            Entry(f"{theirs}.{layer}.{kind}", shape, None)
            for layer, kind in itertools.product(("bn1", "bn2"), ("weight", "bias"))
        ),
        *_convolution(
            f"{theirs}.conv_shortcut.{wrapped}", f"{ours}_shortcut", (filters, before, 1, 1)
        ),
        _convolution(f"{theirs}.conv_1.conv", f"{ours}_conv1", (before, before, 3, 3))[0],
        *_convolution(f"{theirs}.conv_2.{wrapped}", f"{ours}_conv2", (filters, before, 3, 3)),
    ]


def feature_shape(
    name: str, image_shape: tuple[int, int, int], channels: int
) -> tuple[int, int, int]:
    """Height, width and channels of what goes into the head."""
    factor = 2 ** len(STAGES[name])
    return image_shape[0] // factor, image_shape[1] // factor, channels * factor


def to_our_layout(array: np.ndarray, features: tuple[int, int, int]) -> np.ndarray:
    """One of the authors' arrays as we keep it.

    Args:
        array: a kernel [O, I, H, W], dense weights [1, C·H·W] over flattened features, or a
            bias [O].
        features: height, width and channels of what goes into the head.

    Returns:
        a kernel [H, W, I, O], dense weights [H·W·C, 1], or a bias [O].
    """
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if array.ndim == 2:
        height, width, channels = features
        return array.reshape(channels, height, width).transpose(1, 2, 0).reshape(-1, 1)
    return array


def _to_their_layout(array: np.ndarray, features: tuple[int, int, int]) -> np.ndarray:
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2:
        array = array.reshape(features).transpose(2, 0, 1).reshape(1, -1)
    return np.ascontiguousarray(array, np.float32)


def unused_value(name: str) -> float:
    """What the arrays of a normalisation layer hold that was never trained."""
    return 1.0 if name.endswith("weight") else 0.0


def state_dict(network: "keras.Model") -> dict[str, np.ndarray]:
    """A network's weights under the authors' names and in their layout, float32, complete: the
    authors' own `load_state_dict` takes it.

    Raises:
        InvalidArgument: for a network that the authors do not have.
    """
    if network.name not in STAGES:
        other = f"be saved_model for network {network.name}, of which the authors have none"
        raise InvalidArgument("config.export.format", other, "torch")
    ours = {variable.path: variable.numpy() for variable in network.variables}
    head = next(name for name, kinds in HEAD_NAMES.items() if f"energy/{next(iter(kinds))}" in ours)
    image_shape, channels = tuple(network.input_shape[1:]), ours["stem/bias"].size
    features = feature_shape(network.name, image_shape, channels)
    return {
        entry.name: _to_their_layout(ours[entry.path], features)
        if entry.path
        else np.full(entry.shape, unused_value(entry.name), np.float32)
        for entry in entries(network.name, image_shape, channels, head)
    }
