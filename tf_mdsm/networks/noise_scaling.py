"""Images at one size, whatever their noise. Pure Keras 3."""

import keras
from keras import layers, ops

__all__ = ["NoiseScaling", "noise_variance"]

# Of images in [0, 1]: their middle, and a standard deviation that none exceeds.
_MIDDLE, _CONTRAST = 0.5, 0.5


def noise_variance(images):
    """The variance of the noise in each image [B, H, W, C], estimated: [B].

    The mean square of Haar's diagonal coefficients, (x00 - x01 - x10 + x11) / 2 of 2x2 pixels: of
    independent noise they have its variance, of images little of their own (Donoho and Johnstone
    1994, who take the median, which has no derivatives to speak of).
    """
    height, width = (side - side % 2 for side in images.shape[1:3])
    even, odd = images[:, 0:height:2], images[:, 1:height:2]
    rows = even - odd
    diagonal = (rows[:, :, 0:width:2] - rows[:, :, 1:width:2]) / 2
    return ops.mean(ops.square(diagonal), axis=(1, 2, 3))


@keras.saving.register_keras_serializable("tf_mdsm")
class NoiseScaling(layers.Layer):
    """(x - 1/2) / sqrt(v + 1/4), v the noise's variance as estimated in the image: [B, H, W, C].

    The input scaling of EDM (Karras et al. 2022, equation 7) for a network that is not told
    the noise level. It is a smooth function of the image, and so part of the energy.
    """

    def call(self, images):
        size = ops.sqrt(noise_variance(images) + _CONTRAST**2)
        return (images - _MIDDLE) / size[:, None, None, None]

    def compute_output_shape(self, shape):
        return shape
