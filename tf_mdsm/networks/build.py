"""Building an energy network by its name: images in, one energy per image out."""

from typing import Any

import keras

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import NETWORKS, RESNET_STAGES, UNetStructure, heads_of
from tf_mdsm.networks.convolutions import integer_seeds
from tf_mdsm.networks.heads import denoiser_head, energy_of_features
from tf_mdsm.networks.mlp import mlp
from tf_mdsm.networks.resnet import resnet
from tf_mdsm.networks.unet import unet

__all__ = ["build_network"]


def build_network(
    name: str,
    image_shape: tuple[int | None, int | None, int],
    channels: int,
    *,
    head: str | None = None,
    seed: int = 0,
    precision: str = "float32",
    sigma0: float = 0.1,
    structure: UNetStructure | None = None,
) -> keras.Model:
    """Builds an energy network E(x) with random initial weights.

    The arguments alone decide what it computes, and in which precision. Keras' global settings
    (`set_dtype_policy`, `set_floatx`, `set_image_data_format`) do not change it.

    Args:
        name: one of `architectures.NETWORKS`.
        image_shape: height, width, channels of the images. (None, None, channels): images of any
            size, which only a U-Net without attention computes. With the same weights it computes
            the same as the network of a fixed size.
        channels: width of the first layer.
        head: one of `architectures.heads_of(name)`. None: the first of them.
        seed: determines the initial weights.
        precision: a Keras dtype policy: "float32", "float64", or "mixed_bfloat16". The last keeps
            weights, head and energies in float32.
        sigma0: the fixed kernel width of the loss. It sets the scale of a U-Net's energy; the other
            networks do not use it.
        structure: the structure of the U-Net. None: `UNetStructure()`. The other networks do not
            use it.

    Returns:
        a functional model from images float [B, H, W, C] to energies [B].

    Raises:
        InvalidArgument: for an unknown name or head, an image size that the network's
            downsampling does not divide, or a network that cannot compute images of any size.
    """
    if name not in NETWORKS:
        raise InvalidArgument("name", f"be one of {', '.join(NETWORKS)}", name)
    head = head or heads_of(name)[0]
    if head not in heads_of(name):
        raise InvalidArgument("head", f"be one of {', '.join(heads_of(name))} for {name}", head)
    structure = structure or UNetStructure()
    _require_size(name, structure, image_shape)

    seeds = integer_seeds(seed)
    # Under mixed precision images, head and energies stay in float32.
    io_dtype = "float64" if precision == "float64" else "float32"
    images: Any = keras.Input(image_shape, dtype=io_dtype, name="images")
    if name == "unet":
        head_layer = denoiser_head(head, sigma0, io_dtype)
        guesses = unet(
            images,
            structure,
            channels=channels,
            seeds=seeds,
            dtype=precision,
            num_guesses=head_layer.num_guesses,
        )
        energies = head_layer([images, guesses])
    else:
        if name == "dense":
            features = mlp(images, channels=channels, seeds=seeds, dtype=precision)
        else:
            stages = RESNET_STAGES[name]
            features = resnet(images, stages, channels=channels, seeds=seeds, dtype=precision)
        energies = energy_of_features(features, head, seeds, io_dtype)
    return keras.Model(images, energies, name=name)


def _require_size(
    name: str, structure: UNetStructure, image_shape: tuple[int | None, int | None, int]
) -> None:
    """Refuses images of a size that the network cannot compute."""
    sides = [side for side in image_shape[:2] if side is not None]
    factor = _downsampling_factor(name, structure)
    if len(sides) == 1:
        requirement = "have both height and width, or None for both"
        raise InvalidArgument("image_shape", requirement, image_shape)
    if not sides and name != "unet":
        raise InvalidArgument("name", "be unet for images of any size", name)
    if not sides and structure.attention_size:
        requirement = "be 0 for images of any size, as attention depends on the size"
        raise InvalidArgument("unet.attention_size", requirement, structure.attention_size)
    if any(side % factor for side in sides):
        requirement = f"be divisible by {factor} for network {name}"
        raise InvalidArgument("image_size", requirement, sides[0])


def _downsampling_factor(name: str, structure: UNetStructure) -> int:
    """The number that must divide the height and width of a network's images."""
    if name == "unet":
        return structure.downsampling_factor
    return 1 if name == "dense" else 2 ** len(RESNET_STAGES[name])
