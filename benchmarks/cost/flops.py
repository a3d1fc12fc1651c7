"""Floating-point operations of a step, counted from the network's convolutions."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

__all__ = ["GRADIENT_PASSES", "TRAINING_PASSES", "executed_flops", "forward_flops"]

# Passes as costly as the forward one. A gradient in the pixels: forward, and each convolution
# transposed. Training takes the derivative of those two in all that they are made of: each of them
# back in what went in, and each in its weights.
GRADIENT_PASSES, TRAINING_PASSES = 2, 6


def forward_flops(network: "keras.Model") -> int:
    """Of one image, as the network is defined: two for each weight and pixel of every convolution;
    all else is not counted."""
    return sum(defined for defined, _ in _flops_of_layers(network))


def executed_flops(network: "keras.Model") -> int:
    """The same as the network is computed, where a convolution and its means are one."""
    return sum(executed for _, executed in _flops_of_layers(network))


def _flops_of_layers(network: "keras.Model") -> list[tuple[int, int]]:
    from keras import layers

    return [
        (2 * defined, 2 * executed)
        for layer in network.layers
        if isinstance(layer, layers.Conv2D)
        for defined, executed in [_products(layer)]
    ]


def _products(layer) -> tuple[int, int]:
    from tf_mdsm.networks.convolutions import JoinedConv2D, MeanPooledConv2D

    pixels = math.prod(layer.output.shape[1:3])
    side, _, before, after = layer.kernel.shape
    defined = pixels * side**2 * before * after
    if isinstance(layer, MeanPooledConv2D):
        # Defined at four times as many pixels.
        return 4 * defined, pixels * (side + 1) ** 2 * before * after
    if isinstance(layer, JoinedConv2D):
        repeated = layer.input[0].shape[-1]
        spared = pixels * (side**2 - (side + 1) ** 2 // 4) * repeated * after
        return defined, defined - spared
    return defined, defined
