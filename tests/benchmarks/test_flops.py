"""Operations counted by hand, as defined and as executed."""

from benchmarks.cost.flops import executed_flops, forward_flops
from tf_mdsm.networks.architectures import UNetStructure
from tf_mdsm.networks.build import build_network


def test_counted_operations():
    """Counted manually: Res6 at 8x8, one gray channel, two channels."""
    network = build_network("res6", (8, 8, 1), 2)
    stem = 2 * 64 * 9 * 1 * 2
    # Each block: conv1 and conv2 at full size, the 1x1 shortcut after the halving.
    blocks = sum(
        2 * side**2 * 9 * (c * c + c * 2 * c) + 2 * (side // 2) ** 2 * c * 2 * c
        for side, c in ((8, 2), (4, 4), (2, 8))
    )
    assert forward_flops(network) == stem + blocks
    # The second convolution and its means: 4x4 products at a quarter of the pixels.
    fused = sum(2 * side**2 * (9 - 4) * c * 2 * c for side, c in ((8, 2), (4, 4), (2, 8)))
    assert executed_flops(network) == stem + blocks - fused


def test_counted_operations_of_a_repeated_image_and_another():
    """A U-Net's way up: 4 products of the repeated image's pixels in place of 9."""
    structure = UNetStructure(num_resolutions=2)
    network = build_network("unet", (4, 4, 1), 2, structure=structure)
    # The repeated image has 4 channels, a 3x3 convolution and a 1x1 shortcut, to 2 channels.
    assert forward_flops(network) - executed_flops(network) == 2 * 16 * (9 - 4) * 4 * 2
