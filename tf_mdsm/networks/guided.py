"""Autoguidance: an energy that is led away from a weaker one."""
# pyright: reportOperatorIssue=false
# (symbolic energies are annotated as None)

from typing import Any

import keras

from tf_mdsm.networks.energy_network import image_shape_of

__all__ = ["guided_network"]


def guided_network(network: keras.Model, guide: keras.Model, weight: float) -> keras.Model:
    """The energy w E(x) - (w - 1) E_guide(x), one network of two.

    Where both energies err in the same direction, the guide errs further. So the step from the
    guide to the network, made longer, leads nearer to the images. An evaluation costs as much as
    those of both networks.

    Source: Karras et al. 2024, "Guiding a diffusion model with a bad version of itself".

    Args:
        network: the energy E, images [B, H, W, C] to energies [B] or [B, 1].
        guide: an earlier or smaller energy of the same images, with other names of its weights.
        weight: w; 1 gives E itself.
    """
    # The two are layers of the new network, which must have different names.
    guide = keras.Model(guide.input, guide.output, name="guide")
    images = keras.Input(image_shape_of(network), name="guided_images")
    energies: Any = weight * network(images) - (weight - 1) * guide(images)
    return keras.Model(images, energies, name="guided")
