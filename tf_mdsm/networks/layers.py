"""SiLU with its first two derivatives by hand. Pure Keras 3.

    y = x s,   y' = s (1 + x (1 - s)),   y'' = (1 - s)(2 y' - y),   s = s(x) the logistic function

Training takes second derivatives of every activation. Derived automatically they are some fifteen
operations on whole arrays, and the logistic function is computed anew for each of them.
"""

import keras
from keras import layers, ops

__all__ = ["SiLU", "silu"]


@ops.custom_gradient
def silu(x):
    """x s(x), elementwise; differentiable any number of times, twice by the equations above."""

    def gradient(*arguments, upstream=None):
        # Backends give it by place, or by name.
        return _times_slope(x, arguments[0] if upstream is None else upstream)

    return x * ops.sigmoid(x), gradient


@ops.custom_gradient
def _times_slope(x, factor):
    """factor y'(x)."""
    share = ops.sigmoid(x)
    rest = 1 - share
    slope = share * (1 + x * rest)

    def gradient(*arguments, upstream=None):
        upstream = arguments[0] if upstream is None else upstream
        curvature = rest * (2 * slope - x * share)
        return upstream * factor * curvature, upstream * slope

    return factor * slope, gradient


@keras.saving.register_keras_serializable("tf_mdsm")
class SiLU(layers.Layer):
    """`silu` as a layer."""

    def call(self, x):
        return silu(x)

    def compute_output_shape(self, shape):
        return shape
