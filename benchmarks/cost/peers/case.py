"""Benchmark cases: networks, batches, noise levels and optimizer, the same for all peers."""

import dataclasses

__all__ = ["CASES", "CONVOLUTIONS", "Case", "convolution_flops"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One of the paper's networks and its batch, trained with the MDSM loss and Adam.

    Args:
            network: a name in `architectures.RESNET_STAGES`.
        channels: channels of its first layer.
            image_shape: height, width, channels of the images.
        batch_size: images in a step.
    """

    network: str
    channels: int
    image_shape: tuple[int, int, int]
    batch_size: int

    # Settings of the loss, of Adam and of the Langevin step, the same in all cases.
    sigma_min, sigma_max, sigma0 = 0.1, 3.0, 0.1
    learning_rate, beta_1, beta_2, epsilon = 1e-3, 0.9, 0.95, 1e-8
    langevin_step_size, temperature = 0.02, 1.0


CASES = {
    "res12_16": Case("res12", 16, (32, 32, 1), 64),
    "res18_32": Case("res18", 32, (32, 32, 3), 32),
    "res12_64": Case("res12", 64, (32, 32, 1), 32),
}

# Plain 3x3 convolutions, the fastest of which is the ceiling: images, side, channels in and out.
CONVOLUTIONS = {
    f"{count}x{side}x{side}x{channels}": (count, side, channels)
    for count, side, channels in ((64, 32, 64), (64, 16, 128), (64, 8, 256), (32, 16, 512))
}


def convolution_flops(name: str) -> float:
    """Operations of one of `CONVOLUTIONS`: two for each weight and pixel."""
    count, side, channels = CONVOLUTIONS[name]
    return 2.0 * count * side**2 * 9 * channels**2
