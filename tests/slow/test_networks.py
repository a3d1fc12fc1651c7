"""Every network with every head: derivatives in each weight alone, and two sizes of images."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.networks import EVERY_PART, assert_derivatives, noisy_images
from tf_mdsm import losses
from tf_mdsm.networks.architectures import (
    FEATURE_HEADS,
    NETWORKS,
    RESNET_STAGES,
    UNetStructure,
    heads_of,
)
from tf_mdsm.networks.build import build_network

# Next to the default structure: one for each optional part of a U-Net, and one with all of them.
STRUCTURES = {
    "patches": UNetStructure(patch_size=2, num_resolutions=3),
    "one resolution": UNetStructure(num_resolutions=1, num_blocks=2),
    "attention": UNetStructure(num_resolutions=3, attention_size=4),
    "scaled input": UNetStructure(num_resolutions=2, scale_input=True),
    "all": EVERY_PART,
}


@pytest.mark.parametrize("head", FEATURE_HEADS)
@pytest.mark.parametrize("name", RESNET_STAGES)
@pytest.mark.parametrize("shape", [(16, 16, 1), (64, 64, 3)])
def test_every_resnet_at_two_image_sizes(name, shape, head):
    network = build_network(name, shape, 2, head=head)
    energy, gradient = losses.energy_and_gradient(network, noisy_images(3, *shape))
    assert energy.shape == (3,)
    assert gradient.shape == (3, *shape)
    assert energy.dtype == tf.float32
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


@pytest.mark.parametrize(
    ("name", "head", "structure"),
    [(n, h, None) for n in NETWORKS for h in heads_of(n)]
    + [("unet", "distance", name) for name in STRUCTURES],
)
def test_derivatives_by_finite_differences(name, head, structure):
    shape = (1, 1, 2) if name == "dense" else (16, 16, 1)
    network = build_network(
        name,
        shape,
        2,
        head=head,
        seed=1,
        precision="float64",
        structure=structure and STRUCTURES[structure],
    )
    assert_derivatives(network, one_by_one=True, tolerance=1e-3)
