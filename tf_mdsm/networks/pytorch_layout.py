"""Names, shapes and array layouts of the authors' PyTorch networks (MDSM, published code).

For each ResNet: which arrays the authors' state_dict holds, in which order, and which variable of
our network each of them is. Only NumPy is needed.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from tf_mdsm.networks.architectures import RESNET_STAGES

__all__ = [
    "HEAD_WEIGHT_NAMES",
    "StateDictEntry",
    "feature_shape",
    "state_dict_entries",
    "to_keras_layout",
    "to_pytorch_layout",
    "untrained_normalization_value",
]

# For each head: its weights' names in our network, and in the authors' state_dict.
HEAD_WEIGHT_NAMES = {
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


class StateDictEntry(NamedTuple):
    """One array of the authors' state_dict.

    Attributes:
        name: its name in the state_dict.
        shape: its shape in PyTorch's layout.
        variable_path: path of the same variable in our network ("stem/kernel"). None for the
            normalization layers, which the authors' networks own but do not use.
    """

    name: str
    shape: tuple[int, ...]
    variable_path: str | None


def state_dict_entries(
    name: str, image_shape: tuple[int, int, int], channels: int, head: str
) -> list[StateDictEntry]:
    """Lists the arrays of a network's state_dict, in the authors' order.

    Args:
        name: one of `architectures.RESNET_STAGES`.
        image_shape: height, width, channels of the images.
        channels: width of the first layer.
        head: one of `architectures.FEATURE_HEADS`.
    """
    height, width, image_channels = image_shape
    entries = _convolution_entries("conv1.conv", "stem", (channels, image_channels, 3, 3))
    for stage, extra_blocks in enumerate(RESNET_STAGES[name], start=1):
        for block in range(extra_blocks + 1):
            factor = 2**stage if block else 2 ** (stage - 1)
            input_shape = (channels * factor, height // factor, width // factor)
            entries += _block_entries(stage, block, input_shape, channels * 2**stage)
    size = math.prod(feature_shape(name, image_shape, channels))
    for weight, pytorch_name in HEAD_WEIGHT_NAMES[head].items():
        shape = (1, size) if pytorch_name.endswith("weight") else (1,)
        entries.append(StateDictEntry(pytorch_name, shape, f"energy/{weight}"))
    return entries


def _convolution_entries(
    pytorch_name: str, layer: str, shape: tuple[int, int, int, int]
) -> list[StateDictEntry]:
    """Kernel and bias of a convolution."""
    return [
        StateDictEntry(f"{pytorch_name}.weight", shape, f"{layer}/kernel"),
        StateDictEntry(f"{pytorch_name}.bias", shape[:1], f"{layer}/bias"),
    ]


def _block_entries(
    stage: int, block: int, input_shape: tuple[int, int, int], filters: int
) -> list[StateDictEntry]:
    """The arrays of a residual block with inputs [C, H, W].

    The authors name the blocks of stage 1 `rb1` (which halves the image), `rbc1`, `rbc11`, ….
    """
    layer = f"stage{stage}_block{block}"
    if block:
        pytorch_name, wrapped = f"rbc{str(stage) * block}", "conv"
    else:
        # Where a block halves the image, a pooling module wraps the convolution.
        pytorch_name, wrapped = f"rb{stage}", "conv.conv"
    inputs = input_shape[0]
    normalization = [
        StateDictEntry(f"{pytorch_name}.{module}.{kind}", input_shape, None)
        for module, kind in itertools.product(("bn1", "bn2"), ("weight", "bias"))
    ]
    shortcut = _convolution_entries(
        f"{pytorch_name}.conv_shortcut.{wrapped}", f"{layer}_shortcut", (filters, inputs, 1, 1)
    )
    first = _convolution_entries(
        f"{pytorch_name}.conv_1.conv", f"{layer}_conv1", (inputs, inputs, 3, 3)
    )
    second = _convolution_entries(
        f"{pytorch_name}.conv_2.{wrapped}", f"{layer}_conv2", (filters, inputs, 3, 3)
    )
    # The first convolution has no bias.
    return [*normalization, *shortcut, first[0], *second]


def feature_shape(
    name: str, image_shape: tuple[int, int, int], channels: int
) -> tuple[int, int, int]:
    """Height, width and channels of the features that the head receives."""
    factor = 2 ** len(RESNET_STAGES[name])
    return image_shape[0] // factor, image_shape[1] // factor, channels * factor


def to_keras_layout(array: np.ndarray, features: tuple[int, int, int]) -> np.ndarray:
    """Converts one of the authors' arrays to the layout of our networks.

    Args:
        array: a kernel [O, I, H, W], weights of the head [1, C H W] over flattened features, or a
            bias [O].
        features: height, width and channels of the features that the head receives.

    Returns:
        a kernel [H, W, I, O], weights of the head [H W C, 1], or a bias [O].
    """
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if array.ndim == 2:
        height, width, channels = features
        return array.reshape(channels, height, width).transpose(1, 2, 0).reshape(-1, 1)
    return array


def to_pytorch_layout(array: np.ndarray, features: tuple[int, int, int]) -> np.ndarray:
    """The inverse of `to_keras_layout`; a contiguous float32 array."""
    if array.ndim == 4:
        array = array.transpose(3, 2, 0, 1)
    elif array.ndim == 2:
        array = array.reshape(features).transpose(2, 0, 1).reshape(1, -1)
    return np.ascontiguousarray(array, np.float32)


def untrained_normalization_value(name: str) -> float:
    """The value of each element in an untrained normalization layer's array of this name."""
    return 1.0 if name.endswith("weight") else 0.0
