"""Energy networks: an image in, one number out. Pure Keras 3, no TensorFlow inside.

The ResNets are the authors' (MDSM, section 4 and its published code): no normalisation, ELU,
PyTorch's default initialisation, weights and biases uniform in +-1/sqrt(fan_in).
"""

from collections.abc import Callable

import keras
from keras import layers

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import NETWORKS, STAGES, UNetStructure, heads_of
from tf_mdsm.networks.convolutions import MeanPooledConv2D, convolution, integer_seeds, uniform
from tf_mdsm.networks.heads import (
    DistanceHead,
    LinearHead,
    ProductHead,
    QuadraticHead,
    TwoGuessesHead,
)
from tf_mdsm.networks.unet import unet

__all__ = ["build_network"]

_DENOISER_HEADS = {
    "distance": DistanceHead,
    "product": ProductHead,
    "two_guesses": TwoGuessesHead,
}


def build_network(
    name: str,
    image_shape: tuple[int, int, int],
    channels: int,
    head: str | None = None,
    seed: int = 0,
    precision: str = "float32",
    sigma0: float = 0.1,
    structure: UNetStructure | None = None,
) -> keras.Model:
    """An energy network with freshly drawn weights.

    Args:
        name: one of `architectures.NETWORKS`.
        image_shape: height, width, channels of the images.
        channels: width of the first layer.
        head: one of `architectures.heads_of(name)`; None: the first of them.
        seed: the weights follow from it.
        precision: a Keras dtype policy: "float32", "float64", or "mixed_bfloat16", which leaves
            weights, head and energies in float32.
        sigma0: the loss' fixed kernel width, which sets the scale of a U-Net's energy.
        structure: of the U-Net; None: as `UNetStructure()`. The other networks have one each.

    Returns:
        a functional model from images float [B, H, W, C] to energies [B].

    Raises:
        InvalidArgument: for an unknown name or head, or an image size it cannot halve.
    """
    if name not in NETWORKS:
        raise InvalidArgument("name", f"be one of {', '.join(NETWORKS)}", name)
    head = head or heads_of(name)[0]
    if head not in heads_of(name):
        raise InvalidArgument("head", f"be one of {', '.join(heads_of(name))} for {name}", head)
    structure = structure or UNetStructure()
    halvings = {"unet": structure.downsampling, "dense": 1}
    factor = halvings[name] if name in halvings else 2 ** len(STAGES[name])
    if any(side % factor for side in image_shape[:2]):
        raise InvalidArgument(
            "image_size", f"be divisible by {factor} for network {name}", image_shape[0]
        )
    seeds = integer_seeds(seed)
    outside = "float64" if precision == "float64" else "float32"
    images = keras.Input(image_shape, dtype=outside, name="images")
    if name == "unet":
        head_layer = _DENOISER_HEADS[head]
        guesses = unet(
            images, structure, channels, seeds, precision, num_guesses=head_layer.num_guesses
        )
        energy = head_layer(sigma0, name="energy", dtype=outside)([images, guesses])
        return keras.Model(images, energy, name=name)
    build_body = _dense_body if name == "dense" else _residual_body(STAGES[name])
    features = build_body(images, channels, seeds, precision)
    build_head = {"quadratic": _quadratic_head, "linear": _linear_head}[head]
    features = layers.Flatten(dtype=outside)(features)
    return keras.Model(images, build_head(features, seeds, outside), name=name)


def _residual_block(x, filters: int, downsample: bool, seeds, dtype: str, name: str):
    """ELU, 3x3 conv, ELU, 3x3 conv, with a 1x1 shortcut; both halved by 2x2 means at the end
    of the residual and at the start of the shortcut when `downsample`."""
    y = layers.Activation("elu", dtype=dtype, name=f"{name}_elu1")(x)
    if downsample:
        x = layers.AveragePooling2D(2, dtype=dtype, name=f"{name}_shortcut_pool")(x)
    shortcut = convolution(x, filters, 1, seeds, dtype, f"{name}_shortcut")
    y = convolution(y, x.shape[-1], 3, seeds, dtype, f"{name}_conv1", use_bias=False)
    y = layers.Activation("elu", dtype=dtype, name=f"{name}_elu2")(y)
    layer = MeanPooledConv2D if downsample else layers.Conv2D
    y = convolution(y, filters, 3, seeds, dtype, f"{name}_conv2", layer=layer)
    return layers.Add(dtype=dtype, name=name)([y, shortcut])


def _residual_body(stages: tuple[int, ...]) -> Callable:
    def body(images, channels: int, seeds, dtype: str):
        x = convolution(images, channels, 3, seeds, dtype, "stem")
        for stage, extra_blocks in enumerate(stages, start=1):
            filters = channels * 2**stage
            for block in range(extra_blocks + 1):
                name = f"stage{stage}_block{block}"
                x = _residual_block(x, filters, block == 0, seeds, dtype, name)
        return x

    return body


def _dense_body(images, channels: int, seeds, dtype: str):
    """Three SiLU layers, for points in the plane rather than images.

    The unit square is stretched to +-4 first: at its own size all modes look like one.
    """
    x = layers.Rescaling(8.0, -4.0, dtype=dtype)(layers.Flatten(dtype=dtype)(images))
    for depth in range(1, 4):
        fan_in = x.shape[-1]
        x = layers.Dense(
            channels,
            activation="silu",
            kernel_initializer=uniform(fan_in, next(seeds)),
            bias_initializer=uniform(fan_in, next(seeds)),
            dtype=dtype,
            name=f"dense{depth}",
        )(x)
    return x


def _quadratic_head(features, seeds, dtype: str):
    return QuadraticHead([next(seeds) for _ in range(5)], name="energy", dtype=dtype)(features)


def _linear_head(features, seeds, dtype: str):
    activated = layers.Activation("elu", dtype=dtype, name="head_elu")(features)
    return LinearHead([next(seeds)], name="energy", dtype=dtype)(activated)
