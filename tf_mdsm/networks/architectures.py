"""Names and structures of the energy networks: what can be said of them without Keras."""

import dataclasses

__all__ = [
    "DENOISER_HEADS",
    "FEATURE_HEADS",
    "HEADS_WITH_ONE_GUESS",
    "NETWORKS",
    "RESNET_STAGES",
    "UNetStructure",
    "heads_of",
]

# The stages of each ResNet. The first block of a stage halves the image and doubles the channels;
# the number says how many further residual blocks follow it in that stage.
RESNET_STAGES = {
    "res6": (0, 0, 0),
    "res12": (1, 1, 1),
    "res18": (2, 2, 2),
    "res34": (2, 3, 5, 2),
}
NETWORKS = (*RESNET_STAGES, "dense", "unet")

# Heads that compute the energy from the features of a ResNet or of the dense network.
FEATURE_HEADS = ("quadratic", "linear")
# Heads that compute the energy from an image and a U-Net's estimate of the clean image.
DENOISER_HEADS = ("distance", "product", "two_guesses")
# Those of them whose estimate is one image.
HEADS_WITH_ONE_GUESS = ("distance", "product")


def heads_of(name: str) -> tuple[str, ...]:
    """The heads that a network can have; the first is the default.

    Args:
        name: one of `NETWORKS`.
    """
    return DENOISER_HEADS if name == "unet" else FEATURE_HEADS


@dataclasses.dataclass(frozen=True)
class UNetStructure:
    """The structure of a U-Net: patches, resolutions, blocks, attention, input scaling.

    Args:
        patch_size: side of the square patches. The first layer turns each patch of pixels into one
            pixel with more channels, the last layer turns it back.
        num_resolutions: number of resolutions. Each has half the height and width of the one
            before.
        num_blocks: residual blocks at each resolution, both on the way down and on the way up.
        attention_size: at resolutions with a side of at most this many pixels (counted after
            `patch_size`), self-attention follows each block. 0: no attention.
        scale_input: divide the images by their expected magnitude, from the contrast of images and
            a noise variance that is estimated in the image. The network then sees all noise levels
            at one scale.
    """

    patch_size: int = 1
    num_resolutions: int = 4
    num_blocks: int = 1
    attention_size: int = 0
    scale_input: bool = False

    @property
    def channel_multipliers(self) -> tuple[int, ...]:
        """Channels at each resolution, divided by those at the first: 1, 2, 4, 4, …"""
        return tuple(2 ** min(level, 2) for level in range(self.num_resolutions))

    @property
    def downsampling_factor(self) -> int:
        """Image height divided by the height at the last resolution; it must divide the sides."""
        return self.patch_size * 2 ** (self.num_resolutions - 1)

    @property
    def reach(self) -> int:
        """How far the guess of a pixel looks: no pixel further away, along a row or a column, has
        an influence on it. (Attention looks at the whole image, and is not counted.)
        """
        # Each 3x3 convolution looks one pixel of its resolution further: two a block, on the way
        # down and up, with one block more at the last resolution; the first and the last.
        last = self.num_resolutions - 1
        convolutions = 2 + sum(4 * self.num_blocks * 2**level for level in range(last))
        convolutions += 2 * (self.num_blocks + 1) * 2**last
        # On the way down and up a pixel becomes a part of a larger one, and the other way round.
        return self.patch_size * (convolutions + 2**last) - 1
