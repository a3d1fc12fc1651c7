"""Floating-point operations of a step, counted from the network's convolutions."""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

__all__ = ["GRADIENT_PASSES", "TRAINING_PASSES", "forward_flops"]

# Passes as costly as the forward one. A gradient in the pixels: forward, and each convolution
# transposed. Training takes the derivative of those two in all that they are made of: each of them
# back in what went in, and each in its weights.
GRADIENT_PASSES, TRAINING_PASSES = 2, 6


def forward_flops(network: "keras.Model") -> int:
    """Of one image: two for each weight and pixel of every convolution; all else is not counted."""
    from keras import layers

    total = 0
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            height, width = layer.output.shape[1:3]
            total += 2 * height * width * math.prod(layer.kernel.shape)
    return total
