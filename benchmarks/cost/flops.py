"""Floating-point operations of networks and steps, counted from the network's convolutions."""

import math
from typing import TYPE_CHECKING

from benchmarks.cost.peers.case import Case
from tf_mdsm.system.stderr import quiet_stderr

if TYPE_CHECKING:
    import keras

__all__ = ["GRADIENT_PASSES", "TRAINING_PASSES", "case_flops", "executed_flops", "forward_flops"]

# Costs in units of one forward pass. The gradient with respect to the pixels takes two: each
# convolution forward and transposed. A training step differentiates these two once more, each with
# respect to its input and to its weights, and so takes six.
GRADIENT_PASSES, TRAINING_PASSES = 2, 6


def forward_flops(network: "keras.Model") -> int:
    """Operations of a forward pass of one image, as the network is defined.

    A convolution counts two for each weight and output pixel; other layers are not counted.
    """
    return sum(defined for defined, _ in _flops_of_layers(network))


def executed_flops(network: "keras.Model") -> int:
    """Operations of a forward pass of one image, as the network is computed.

    They are fewer than those of the definition where a convolution is fused with the averaging
    after it, or with the enlargement before it (tf_mdsm/networks/convolutions.py).
    """
    return sum(executed for _, executed in _flops_of_layers(network))


def case_flops(case: Case) -> tuple[int, int]:
    """`forward_flops` and `executed_flops` of a benchmark case's network."""
    with quiet_stderr():
        from tf_mdsm.networks.build import build_network

    network = build_network(case.network, case.image_shape, case.channels)
    return forward_flops(network), executed_flops(network)


def _flops_of_layers(network: "keras.Model") -> list[tuple[int, int]]:
    from keras import layers

    return [
        (2 * defined, 2 * executed)
        for layer in network.layers
        if isinstance(layer, layers.Conv2D)
        for defined, executed in [_multiplications(layer)]
    ]


def _multiplications(layer) -> tuple[int, int]:
    """Multiplications of a convolution for one image: as defined, and as executed."""
    from tf_mdsm.networks.convolutions import JoinedConv2D, MeanPooledConv2D

    pixels = math.prod(layer.output.shape[1:3])
    side, _, channels_in, channels_out = layer.kernel.shape
    defined = pixels * side**2 * channels_in * channels_out
    if isinstance(layer, MeanPooledConv2D):
        # The definition convolves at four times as many pixels, then averages 2x2 of them.
        return 4 * defined, pixels * (side + 1) ** 2 * channels_in * channels_out
    if isinstance(layer, JoinedConv2D):
        repeated = layer.input[0].shape[-1]
        saved = pixels * (side**2 - (side + 1) ** 2 // 4) * repeated * channels_out
        return defined, defined - saved
    return defined, defined
