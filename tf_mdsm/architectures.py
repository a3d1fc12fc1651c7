"""The networks by name, as what can be said of them without Keras."""

__all__ = ["DENOISER_HEADS", "HEADS", "NETWORKS", "STAGES", "UNET_WIDTHS", "heads_of"]

# Residual blocks of each stage after the one that halves the image and doubles the channels.
STAGES = {
    "res6": (0, 0, 0),
    "res12": (1, 1, 1),
    "res18": (2, 2, 2),
    "res34": (2, 3, 5, 2),
}
NETWORKS = (*STAGES, "dense", "unet")

# Channels of the U-Net at each resolution, each half of the one before, over those at the first.
UNET_WIDTHS = (1, 2, 4, 4)

# How a scalar is made of features, and of an image with the clean one behind it.
HEADS = ("quadratic", "linear")
DENOISER_HEADS = ("distance", "product")


def heads_of(name: str) -> tuple[str, ...]:
    """The heads that fit a network; the first is the usual one."""
    return DENOISER_HEADS if name == "unet" else HEADS
