"""Layers and layer functions of the networks: SiLU, input scaling by estimated noise, patches."""
# pyright: reportOperatorIssue=false, reportOptionalOperand=false, reportOptionalSubscript=false
# (keras.ops is annotated as returning None)

from typing import Any

import keras
from keras import ops

from tf_mdsm.networks.free_size import CutPatches, JoinPatches

__all__ = [
    "NoiseScaling",
    "SiLU",
    "estimate_noise_variance",
    "from_patches",
    "scale_by_noise",
    "silu",
    "to_patches",
]


# SiLU with explicit derivatives:
#
#     y = x s,   y' = s (1 + x (1 - s)),   y'' = (1 - s)(2 y' - y),   s = s(x) the logistic function
#
# Training needs the second derivative of every activation. Automatic differentiation takes about
# fifteen operations on whole arrays for it, and computes the logistic function anew for each.


@ops.custom_gradient
def silu(x: Any) -> Any:
    """SiLU, x s(x) with the logistic function s, elementwise, with explicit derivatives.

    It can be differentiated any number of times, the first two by the equations above.
    """

    def gradient(*arguments, upstream=None):
        # Some backends pass the upstream gradient by position, others by name.
        return _slope_times(x, arguments[0] if upstream is None else upstream)

    return x * ops.sigmoid(x), gradient


@ops.custom_gradient
def _slope_times(x: Any, factor: Any) -> Any:
    """factor y'(x): the derivative of SiLU times a factor."""
    s = ops.sigmoid(x)
    one_minus_s = 1 - s
    slope = s * (1 + x * one_minus_s)

    def gradient(*arguments, upstream=None):
        upstream = arguments[0] if upstream is None else upstream
        curvature = one_minus_s * (2 * slope - x * s)
        return upstream * factor * curvature, upstream * slope

    return factor * slope, gradient


@keras.saving.register_keras_serializable("tf_mdsm")
class SiLU(keras.layers.Layer):
    """The activation SiLU, `silu`, as a layer."""

    def call(self, x: Any) -> Any:
        """Applies SiLU to each element."""
        return silu(x)

    def compute_output_shape(self, shape: tuple) -> tuple:
        """The shape of the input."""
        return shape


# The middle of the pixels' range [0, 1], and the largest standard deviation an image can have.
_MIDDLE, _CONTRAST = 0.5, 0.5


def estimate_noise_variance(images: Any) -> Any:
    """Estimates the variance of the noise in each image: [B, H, W, C] to [B].

    The estimate is the mean square of Haar's diagonal coefficients, (x00 - x01 - x10 + x11) / 2 of
    each 2x2 pixels. For independent noise these coefficients have the noise's variance; the image
    itself contributes little. Donoho and Johnstone (1994) use their median, which has hardly any
    useful derivatives.
    """
    height, width = (side - side % 2 for side in ops.shape(images)[1:3])
    even, odd = images[:, 0:height:2], images[:, 1:height:2]
    rows = even - odd
    diagonal = (rows[:, :, 0:width:2] - rows[:, :, 1:width:2]) / 2
    return ops.mean(ops.square(diagonal), axis=(1, 2, 3))


def scale_by_noise(images: Any, variance: Any) -> Any:
    """(x - 1/2) / sqrt(v + 1/4), for images [B, H, W, C] and noise variances v, [B]."""
    magnitude = ops.sqrt(variance + _CONTRAST**2)
    return (images - _MIDDLE) / magnitude[:, None, None, None]


@keras.saving.register_keras_serializable("tf_mdsm")
class NoiseScaling(keras.layers.Layer):
    """Scales noisy images to one magnitude: (x - 1/2) / sqrt(v + 1/4), [B, H, W, C].

    v is the noise variance that `estimate_noise_variance` finds in the image. This is the input
    scaling of EDM (Karras et al. 2022, equation 7) for a network that is not given the noise level.
    It is a smooth function of the image, so the energy's gradient includes it.
    """

    def call(self, images: Any) -> Any:
        """Scales each image by its own estimated noise."""
        return scale_by_noise(images, estimate_noise_variance(images))

    def compute_output_shape(self, shape: tuple) -> tuple:
        """The shape of the images."""
        return shape


def to_patches(x: keras.KerasTensor, size: int, dtype: str, name: str) -> keras.KerasTensor:
    """Turns each size x size patch of pixels into one pixel with more channels.

    Args:
        x: symbolic images [B, H, W, C]; `size` divides H and W. They may be None.
        size: side of the patches; with 1 nothing is done.
        dtype: a Keras dtype policy.
        name: name of the last layer, and start of the other layers' names.

    Returns:
        symbolic images [B, H/size, W/size, size^2 C].
    """
    if size == 1:
        return x
    height, width, channels = x.shape[1:]
    if None in (height, width):
        return CutPatches(size, dtype=dtype, name=name)(x)
    rows, columns = height // size, width // size
    cut, joined = (rows, size, columns, size, channels), (rows, columns, size**2 * channels)
    x = keras.layers.Reshape(cut, dtype=dtype, name=f"{name}_cut")(x)
    x = keras.layers.Permute((1, 3, 2, 4, 5), dtype=dtype, name=f"{name}_sort")(x)
    return keras.layers.Reshape(joined, dtype=dtype, name=name)(x)


def from_patches(x: keras.KerasTensor, size: int, dtype: str, name: str) -> keras.KerasTensor:
    """The inverse of `to_patches`: [B, H, W, size^2 C] to [B, size H, size W, C]."""
    if size == 1:
        return x
    rows, columns, channels = x.shape[1:]
    if None in (rows, columns):
        return JoinPatches(size, dtype=dtype, name=name)(x)
    channels //= size**2
    cut, joined = (rows, columns, size, size, channels), (rows * size, columns * size, channels)
    x = keras.layers.Reshape(cut, dtype=dtype, name=f"{name}_cut")(x)
    x = keras.layers.Permute((1, 3, 2, 4, 5), dtype=dtype, name=f"{name}_sort")(x)
    return keras.layers.Reshape(joined, dtype=dtype, name=name)(x)
