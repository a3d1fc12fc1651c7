"""The smoothest images that agree with known data, by conjugate gradients."""

from collections.abc import Callable

import tensorflow as tf

from tf_mdsm.samplers.conditioning import KnownData

__all__ = ["smoothest_images"]

# Features of the image that are longer than this are continued as a membrane, which never exceeds
# the known pixels; shorter ones as a plate, which also continues slopes.
_LENGTH = 16.0

_MAX_ITERATIONS = 1_000

# Conjugate gradients end at this share of the first residual.
_TOLERANCE = 1e-3


def smoothest_images(known: KnownData, images: tf.Tensor) -> tf.Tensor:
    """The smoothest images x that agree with known data.

    They minimize |L x|^2 + |grad x|^2 / 16^2, where L x is the sum of the differences to the four
    neighbors, and grad x holds the differences of neighbors. This is a spline under tension. Where
    the data leave the mean free, it is that of `images`.

    Args:
        known: known data.
        images: where the search begins, float32 [B, H, W, C].
    """
    # The membrane alone is found in far fewer steps, and is near: then the plate needs few.
    for gradient_fn in (_differences, _roughness):
        images = _minimize(known, images, gradient_fn)
    return images


def _minimize(
    known: KnownData, images: tf.Tensor, gradient_fn: Callable[[tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Images that agree with known data, at the minimum of a quadratic form; else as given.

    Args:
        known: known data.
        images: where the search begins, float32 [B, H, W, C].
        gradient_fn: half the gradient of the form, at images; linear.
    """
    first = known.project(images)
    origin = known.project(tf.zeros_like(first))

    def free_part(x: tf.Tensor) -> tf.Tensor:
        """Part of x that the known data leave free."""
        return known.project(x) - origin

    residual = -free_part(gradient_fn(first))
    square = _square(residual)
    end = _TOLERANCE**2 * square

    def is_unfinished(i, _, __, ___, square):
        return (i < _MAX_ITERATIONS) & tf.reduce_any(square > end)

    def iterate(i, x, residual, direction, square):
        image = free_part(gradient_fn(direction))
        # A finished image does not move, however long the others of the batch take.
        moving = tf.where(square > end, square, 0.0)
        share = tf.math.divide_no_nan(moving, tf.reduce_sum(direction * image, (1, 2, 3), True))
        x, residual = x + share * direction, residual - share * image
        next_square = _square(residual)
        direction = residual + tf.math.divide_no_nan(next_square, square) * direction
        return i + 1, x, residual, direction, next_square

    state = (tf.constant(0), first, residual, residual, square)
    return tf.while_loop(is_unfinished, iterate, state)[1]


def _square(x: tf.Tensor) -> tf.Tensor:
    """Squared norm of each image, [B, 1, 1, 1]."""
    return tf.reduce_sum(tf.square(x), (1, 2, 3), keepdims=True)


def _roughness(x: tf.Tensor) -> tf.Tensor:
    """Half the gradient of |L x|^2 + |grad x|^2 / length^2."""
    bent = _differences(x)
    return _differences(bent) + bent / _LENGTH**2


def _differences(x: tf.Tensor) -> tf.Tensor:
    """Sum of the differences of each pixel to its neighbors in the image, [B, H, W, C]."""
    down, right = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
    before, after = [1, 0], [0, 1]
    none = [0, 0]
    rows = tf.pad(down, [none, before, none, none]) - tf.pad(down, [none, after, none, none])
    columns = tf.pad(right, [none, none, before, none]) - tf.pad(right, [none, none, after, none])
    return rows + columns
