"""The energy of a U-Net of free size as an integral: pixel by pixel, for images cut into tiles."""
# pyright: reportOptionalOperand=false, reportOptionalSubscript=false
# (keras.ops is annotated as returning None)

import dataclasses
import math
from typing import Any

import keras
from keras import ops

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.free_size import MirrorPadding
from tf_mdsm.networks.guided import Guidance
from tf_mdsm.networks.heads import DenoiserHead
from tf_mdsm.networks.layers import NoiseScaling, scale_by_noise

__all__ = ["LocalEnergy"]


@dataclasses.dataclass(frozen=True)
class LocalEnergy:
    """An energy E(x) = sum over pixels of e(x, v), where e at a pixel depends on a neighborhood.

    v is the noise variance that the network estimates in the whole image. Given v, the parts e can
    be computed from any section of the image that holds the neighborhood. E depends on x through v
    as well, so the gradient of E is that of the sum at fixed v, plus (dE/dv) dv/dx.

    Attributes:
        networks: U-Nets without scaling and padding, from scaled images [B, H, W, C] to guesses.
            Two for an energy with a guide.
        heads: their heads.
        are_scaled: whether each of them takes images that are scaled by v.
        guidance: the layer that combines the energies of two networks; None for one network.
        multiple: what must divide height, width and upper left corner of a section.
        reach: how far a pixel's neighborhood extends, in pixels.
        values_per_pixel: numbers that all layers together compute for a pixel of the image.
    """

    networks: tuple[keras.Model, ...]
    heads: tuple[DenoiserHead, ...]
    are_scaled: tuple[bool, ...]
    guidance: Guidance | None
    multiple: int
    reach: int
    values_per_pixel: int

    @classmethod
    def of(cls, network: keras.Model) -> "LocalEnergy":
        """The parts of a network of free size, or of one that is guided by another.

        The weights are shared.

        Raises:
            InvalidArgument: for any other network.
        """
        guidance = _layers(network, Guidance)
        inner = _layers(network, keras.Model) if guidance else [network]
        # `guided_network` combines the two in this order.
        inner.sort(key=lambda one: one.name == "guide")
        parts = [_parts(one) for one in inner]
        multiples = {padding.multiple for *_, padding in parts}
        if len(multiples) > 1:
            requirement = "have a guide that halves its images as often"
            raise InvalidArgument("network", requirement, f"multiples {sorted(multiples)}")
        multiple = multiples.pop()
        return cls(
            networks=tuple(core for core, _, _, _ in parts),
            heads=tuple(head for _, head, _, _ in parts),
            are_scaled=tuple(is_scaled for _, _, is_scaled, _ in parts),
            guidance=guidance[0] if guidance else None,
            multiple=multiple,
            reach=max(padding.reach for *_, padding in parts),
            values_per_pixel=sum(_values_per_pixel(one, multiple) for one in inner),
        )

    def densities(self, images: Any, variance: Any) -> Any:
        """The energy's part at each pixel, [B, H, W].

        Right at all pixels that are further than `reach` from a side at which the image was cut.

        Args:
            images: sections of an image, [B, H, W, C]; `multiple` divides H and W.
            variance: the noise variance v of each image from which a section comes, [B].
        """
        scaled = scale_by_noise(images, variance) if any(self.are_scaled) else images
        energies = [
            head.densities(images, ops.cast(network(scaled if is_scaled else images), head.dtype))
            for network, head, is_scaled in zip(
                self.networks, self.heads, self.are_scaled, strict=True
            )
        ]
        return energies[0] if self.guidance is None else self.guidance(energies)


def _values_per_pixel(network: keras.Model, multiple: int) -> int:
    """Numbers that all layers together compute for a pixel of the image, rounded up."""
    every_layer = keras.Model(network.input, [layer.output for layer in network.layers])
    image = keras.KerasTensor((1, multiple, multiple, network.input_shape[-1]))
    specs: Any = every_layer.compute_output_spec(image)
    return -(-sum(math.prod(spec.shape) for spec in specs) // multiple**2)


def _parts(network: keras.Model) -> tuple[keras.Model, DenoiserHead, bool, MirrorPadding]:
    """The U-Net between padding and cropping, the head, whether images are scaled, the padding."""
    heads, paddings = _layers(network, DenoiserHead), _layers(network, MirrorPadding)
    if len(heads) != 1 or len(paddings) != 1:
        requirement = "be a U-Net for images of any size (build_network with (None, None, C))"
        raise InvalidArgument("network", requirement, network.name)
    _, cropped = heads[0].input
    _, guesses = next(layer for layer in network.layers if layer.output is cropped).input
    core = keras.Model(paddings[0].output, guesses, name=f"{network.name}_core")
    return core, heads[0], bool(_layers(network, NoiseScaling)), paddings[0]


def _layers(network: keras.Model, kind: type) -> list[Any]:
    return [layer for layer in getattr(network, "layers", ()) if isinstance(layer, kind)]
