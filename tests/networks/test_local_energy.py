"""The energy as an integral over pixels: its sum, and how far each part of it looks."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.networks import noisy_images
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import DENOISER_HEADS, UNetStructure
from tf_mdsm.networks.build import build_network
from tf_mdsm.networks.guided import guided_network
from tf_mdsm.networks.layers import estimate_noise_variance
from tf_mdsm.networks.local_energy import LocalEnergy

SCALED = UNetStructure(num_resolutions=2, scale_input=True)


def free_network(structure=SCALED, head="distance", channels=2, seed=0):
    shape = (None, None, 2)
    return build_network("unet", shape, channels, head=head, seed=seed, structure=structure)


@pytest.mark.parametrize("head", DENOISER_HEADS)
@pytest.mark.parametrize("scale_input", [False, True])
def test_the_energy_is_the_sum_of_its_densities(head, scale_input):
    network = free_network(UNetStructure(num_resolutions=2, scale_input=scale_input), head)
    images = noisy_images(2, 6, 8, 2)
    densities = LocalEnergy.of(network).densities(images, estimate_noise_variance(images))
    assert densities.shape == (2, 6, 8)
    np.testing.assert_allclose(tf.reduce_sum(densities, (1, 2)), network(images), rtol=1e-5)


def test_the_energy_of_two_networks():
    """w E - (w - 1) E_guide, pixel by pixel."""
    network, guide = free_network(), free_network(channels=3, seed=1)
    images = noisy_images(2, 6, 8, 2)
    variance = estimate_noise_variance(images)
    parts = [LocalEnergy.of(one).densities(images, variance) for one in (network, guide)]
    local = LocalEnergy.of(guided_network(network, guide, 3.0))
    np.testing.assert_allclose(
        local.densities(images, variance), 3 * parts[0] - 2 * parts[1], rtol=1e-4, atol=1e-3
    )


STRUCTURES = [
    UNetStructure(num_resolutions=1),
    UNetStructure(num_resolutions=2, num_blocks=2),
    UNetStructure(num_resolutions=3),
    UNetStructure(patch_size=3, num_resolutions=2),
]


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_pixel_looks_as_far_as_its_reach_and_no_further(structure):
    """The derivatives of the density at some pixels, one for each place in a block."""
    local = LocalEnergy.of(free_network(structure, channels=4))
    assert (local.multiple, local.reach) == (structure.downsampling_factor, structure.reach)
    middle = (local.reach // local.multiple + 2) * local.multiple
    images = noisy_images(1, 2 * middle, 2 * middle, 2)
    places_in_block = range(middle, middle + local.multiple)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(images)
        densities = local.densities(images, tf.zeros(1))
        chosen = [densities[0, at, at] for at in places_in_block]
    furthest = 0
    for at, density in zip(places_in_block, chosen, strict=True):
        slopes = np.abs(tape.gradient(density, images)[0]).max(2)
        for axis in (0, 1):
            (places,) = np.nonzero(slopes.max(axis))
            furthest = max(furthest, at - places.min(), places.max() - at)
    assert furthest == local.reach


def test_numbers_of_a_pixel():
    """One resolution of one channel: input, padding, stem, two blocks of five layers, the end."""
    structure = UNetStructure(num_resolutions=1)
    network = build_network("unet", (None, None, 1), 1, structure=structure)
    # All layers compute one number for each pixel, but the head one for all.
    assert LocalEnergy.of(network).values_per_pixel == len(network.layers)


@pytest.mark.parametrize(
    "network",
    [
        lambda: build_network("dense", (4, 4, 1), 2),
        lambda: build_network("unet", (4, 4, 1), 2, structure=SCALED),
    ],
)
def test_networks_of_one_size_are_refused(network):
    with pytest.raises(InvalidArgument, match="`network` must be a U-Net for images of any size"):
        LocalEnergy.of(network())


def test_a_guide_of_other_resolutions_is_refused():
    guide = free_network(UNetStructure(num_resolutions=3), seed=1)
    network = guided_network(free_network(), guide, 2.0)
    with pytest.raises(InvalidArgument, match="halves its images as often"):
        LocalEnergy.of(network)
