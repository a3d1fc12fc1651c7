"""Names, heads and sizes of the networks, without Keras."""

import pytest

from tf_mdsm.networks.architectures import (
    DENOISER_HEADS,
    FEATURE_HEADS,
    NETWORKS,
    RESNET_STAGES,
    UNetStructure,
    heads_of,
)


def test_a_unet_has_the_denoiser_heads_and_all_others_the_feature_heads():
    heads = {name: heads_of(name) for name in NETWORKS}
    assert heads.pop("unet") == DENOISER_HEADS
    assert set(heads.values()) == {FEATURE_HEADS}


def test_the_default_heads_are_the_papers_and_the_distance():
    assert (heads_of("res12")[0], heads_of("unet")[0]) == ("quadratic", "distance")


@pytest.mark.parametrize(
    ("name", "convolutions"), [("res6", 6), ("res12", 12), ("res18", 18), ("res34", 32)]
)
def test_names_of_resnets_count_the_convolutions_of_their_blocks(name, convolutions):
    """Two in each block. The last name counts the first and the last layer, too."""
    stages = RESNET_STAGES[name]
    assert 2 * sum(1 + further_blocks for further_blocks in stages) == convolutions


def test_channels_double_twice_and_then_stay():
    assert UNetStructure(num_resolutions=1).channel_multipliers == (1,)
    assert UNetStructure(num_resolutions=5).channel_multipliers == (1, 2, 4, 4, 4)


@pytest.mark.parametrize(("patch", "resolutions", "factor"), [(1, 1, 1), (1, 4, 8), (3, 3, 12)])
def test_patches_and_every_further_resolution_shrink_the_images(patch, resolutions, factor):
    structure = UNetStructure(patch_size=patch, num_resolutions=resolutions)
    assert structure.downsampling_factor == factor


def test_reach_counts_convolutions():
    """One resolution: the first, two blocks of two convolutions, the last. A pixel's patch adds."""
    assert UNetStructure(num_resolutions=1).reach == 6
    assert UNetStructure(num_resolutions=1, num_blocks=2).reach == 8
    assert UNetStructure(num_resolutions=1, patch_size=2).reach == 2 * 6 + 1
    # tests/networks/test_local_energy.py compares others with derivatives.
    assert UNetStructure().reach == 69
