"""Autoguidance: an energy that is led away from a weaker one."""

from typing import Any

import keras
from keras import layers

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
    energies: Any = Guidance(weight, dtype="float32")([network(images), guide(images)])
    return keras.Model(images, energies, name="guided")


@keras.saving.register_keras_serializable("tf_mdsm")
class Guidance(layers.Layer):
    """w E - (w - 1) E_guide of a pair of energies [B] or [B, 1].

    Args:
        weight: w. It is a weight of the layer, so that all that is kept of a network tells it from
            one with another w.
    """

    def __init__(self, weight: float, **kwargs):
        super().__init__(**kwargs)
        self._initial = weight

    def build(self, shapes: Any) -> None:
        """Adds w."""
        initial = keras.initializers.Constant(self._initial)
        self.weight = self.add_weight(
            shape=(), initializer=initial, trainable=False, name="guidance_weight"
        )

    def call(self, inputs: Any) -> Any:
        """Computes w E - (w - 1) E_guide."""
        energies, of_guide = inputs
        return self.weight * energies - (self.weight - 1.0) * of_guide

    def compute_output_shape(self, shapes: Any) -> Any:
        """That of the energies."""
        return shapes[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        return {**super().get_config(), "weight": self._initial}
