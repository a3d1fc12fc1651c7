"""What a network must be to serve as an energy: the shape of its images, its energies, its copy."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from keras import ops

from tf_mdsm.errors import InvalidArgument, one_line
from tf_mdsm.networks.free_size import MirrorPadding
from tf_mdsm.networks.heads import DenoiserHead
from tf_mdsm.networks.layers import NoiseScaling

__all__ = [
    "copy_network",
    "energies_of",
    "guess_network",
    "image_shape_of",
    "in_parts",
    "layers_computing_in",
    "require_energy_network",
    "require_sides",
    "smallest_side",
]


def image_shape_of(network: keras.Model) -> tuple[int | None, ...]:
    """Height, width and channels of a network's images; None where any number is right.

    Raises:
        InvalidArgument: for what is no Keras model, has other inputs, or was not built.
    """
    if not isinstance(network, keras.Model):
        requirement = "be a Keras model, as networks.build_network makes it"
        raise InvalidArgument("network", requirement, type(network).__name__)
    shape = getattr(network, "input_shape", None)
    if shape is None:
        # A subclassed model knows the shape of the images on which it was called.
        shape = (network.get_build_config() or {}).get("input_shape")
    if shape is None:
        requirement = "know the shape of its images (call it on some, or begin with keras.Input)"
        raise InvalidArgument("network", requirement, f"{network.name}, which is not built")
    if len(shape) != 4:
        raise InvalidArgument("network", "take images [B, H, W, C]", f"inputs {shape}")
    return tuple(shape[1:])


def smallest_side(network: keras.Model) -> int:
    """Height and width that the images of a network must have at least, in pixels."""
    leaves = list(_leaves(network))
    sides = [layer.smallest_side for layer in leaves if isinstance(layer, MirrorPadding)]
    # The noise is estimated in squares of 2x2 pixels.
    sides += [2 for layer in leaves if isinstance(layer, NoiseScaling)]
    return max(sides, default=1)


def require_sides(sides: Iterable[int | None], smallest: int) -> None:
    """Refuses images that are smaller than a network's `smallest_side`.

    Args:
        sides: height and width; None: not known.
        smallest: what they must be at least.

    Raises:
        InvalidArgument: for a side that is known and smaller.
    """
    sides = list(sides)
    if any(side is not None and side < smallest for side in sides):
        requirement = f"be at least {smallest} pixels high and wide for this network"
        raise InvalidArgument("images", requirement, " x ".join(map(str, sides)))


def require_energy_network(network: keras.Model) -> None:
    """Refuses a network that cannot be trained as an energy.

    Raises:
        InvalidArgument: for other inputs than images, other outputs than one energy for each image,
            layers that compute in float16, and losses of the network's own.
    """
    shape = getattr(network, "output_shape", None)
    if shape is None:
        shape = network(_symbolic_images(network)).shape
    if tuple(shape)[1:] not in ((), (1,)):
        raise InvalidArgument("network", "compute energies [B] or [B, 1]", f"outputs {shape}")
    half = layers_computing_in(network, "float16")
    if half:
        requirement = "compute in float32 or mixed_bfloat16 (float16 loses small derivatives)"
        raise InvalidArgument("network", requirement, f"float16 in {', '.join(half[:3])}")
    if network.losses:
        requirement = "have no loss of its own (for weight decay use an optimizer, as AdamW)"
        raise InvalidArgument("network", requirement, f"{len(network.losses)} losses")


def layers_computing_in(network: keras.Model, dtype: str) -> list[str]:
    """Names of the layers that compute in a dtype, "bfloat16"; an empty list if none does."""
    return [layer.name for layer in _leaves(network) if layer.compute_dtype == dtype]


def guess_network(network: keras.Model) -> keras.Model | None:
    """The part of a network that computes one guess f(x) of the clean image, [B, H, W, C].

    The weights are shared. None for networks without a head that compares x with one such guess.
    """
    heads = [layer for layer in getattr(network, "layers", ()) if isinstance(layer, DenoiserHead)]
    if len(heads) != 1 or heads[0].num_guesses != 1:
        return None
    _, guess = heads[0].input
    return keras.Model(network.input, guess, name=f"{network.name}_guess")


def energies_of(network: keras.Model, images: Any, num_parts: int) -> Any:
    """The energies [B] that a network computes as [B] or [B, 1], in float32 at least.

    Args:
        network: the network.
        images: images [B, H, W, C].
        num_parts: number of parts of the batch that TensorFlow may compute at the same time. They
            are independent of each other up to here, and so are their gradients.
    """
    energies = in_parts(network, images, num_parts)
    if len(energies.shape) == 2:
        energies = energies[:, 0]
    is_half = keras.backend.standardize_dtype(energies.dtype) in ("float16", "bfloat16")
    return ops.cast(energies, "float32") if is_half else energies


def in_parts(network: keras.Model, images: Any, num_parts: int) -> Any:
    """What a network computes of images [B, H, W, C], by parts of the batch as in `energies_of`."""
    is_whole = num_parts == 1 or images.shape[0] == 1
    return network(images) if is_whole else _part_by_part(network, images, num_parts)


def copy_network(network: keras.Model) -> keras.Model:
    """A second network of the same structure, with the same weights.

    Raises:
        InvalidArgument: for a network that Keras cannot copy.
    """
    try:
        copy = keras.models.clone_model(network)
    except (NotImplementedError, TypeError, ValueError) as error:
        requirement = "have get_config, so that it can be copied (or let ema_momentum be 0)"
        received = one_line(error)
        raise InvalidArgument("network", requirement, f"{network.name}: {received}") from error
    if not copy.built:
        copy(_symbolic_images(network))
    copy.set_weights(network.get_weights())
    return copy


def _symbolic_images(network: keras.Model) -> keras.KerasTensor:
    return keras.KerasTensor((None, *image_shape_of(network)))


def _leaves(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """The layers that compute; the dtypes of a model and of an input mean nothing."""
    if isinstance(layer, keras.Model):
        for part in layer.layers:
            yield from _leaves(part)
    elif not isinstance(layer, keras.layers.InputLayer):
        yield layer


def _part_by_part(network: keras.Model, images: Any, num_parts: int) -> Any:
    """What the network computes of images [B, H, W, C], computed part by part, [B, ...].

    The parts have equal sizes, so they overlap if their number does not divide the batch. No part
    is empty: oneDNN's convolutions refuse an empty batch.
    """
    num_images: Any = ops.shape(images)[0]  # pyright: ignore[reportOptionalSubscript]
    size = -(-num_images // num_parts)
    starts = [(num_images - size) * part // (num_parts - 1) for part in range(num_parts)]
    known = [0, *(before + size - start for before, start in itertools.pairwise(starts))]
    outputs = [network(images[start : start + size]) for start in starts]
    return ops.concatenate([part[first:] for part, first in zip(outputs, known, strict=True)])
