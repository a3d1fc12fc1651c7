"""The networks by name, as what can be said of them without Keras."""

import dataclasses

__all__ = ["DENOISER_HEADS", "HEADS", "NETWORKS", "STAGES", "UNetStructure", "heads_of"]

# Residual blocks of each stage after the one that halves the image and doubles the channels.
STAGES = {
    "res6": (0, 0, 0),
    "res12": (1, 1, 1),
    "res18": (2, 2, 2),
    "res34": (2, 3, 5, 2),
}
NETWORKS = (*STAGES, "dense", "unet")

# How a scalar is made of features, and of an image with the clean one behind it.
HEADS = ("quadratic", "linear")
DENOISER_HEADS = ("distance", "product", "two_guesses")


def heads_of(name: str) -> tuple[str, ...]:
    """The heads that fit a network; the first is the usual one."""
    return DENOISER_HEADS if name == "unet" else HEADS


@dataclasses.dataclass(frozen=True)
class UNetStructure:
    """What a U-Net is made of.

    Args:
        patch_size: side of the squares of pixels that become one pixel of more channels, before
            all else; back again at the end.
        num_resolutions: of which each has half the side of the one before.
        num_blocks: residual blocks at each resolution, on the way down and on the way up.
        attention_size: each block at a resolution of at most this side, in pixels after
            `patch_size`, is followed by self-attention; 0: none is.
        scale_input: divide images by what noise and contrast together amount to, the noise being
            estimated in the image: so the network sees all levels at one size.
    """

    patch_size: int = 1
    num_resolutions: int = 4
    num_blocks: int = 1
    attention_size: int = 0
    scale_input: bool = False

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each resolution over those at the first: doubled twice, then kept."""
        return tuple(2 ** min(level, 2) for level in range(self.num_resolutions))

    @property
    def downsampling(self) -> int:
        """The number that divides height and width of the images."""
        return self.patch_size * 2 ** (self.num_resolutions - 1)
