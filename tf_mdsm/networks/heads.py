"""Heads: from what a network made of images to their energies. Pure Keras 3."""

import keras
from keras import layers, ops

from tf_mdsm.networks.convolutions import uniform

__all__ = ["DistanceHead", "LinearHead", "ProductHead", "QuadraticHead", "TwoGuessesHead"]


class _Head(layers.Layer):
    """Features to a scalar, with an additive constant, which shifts all energies alike.

    The constant has no influence on any score, so it is not trained; it is kept because the
    authors' weights hold one.
    """

    def __init__(self, seeds: list[int], **kwargs):
        super().__init__(**kwargs)
        self._seeds = list(seeds)

    def build(self, shape):
        self._unused_seeds = iter(self._seeds)
        self.constant = self.add_weight(
            shape=(1,), initializer="zeros", trainable=False, name="constant"
        )

    def _add_vector(self, name: str, fan_in: int, shape: tuple[int, ...]):
        initializer = uniform(fan_in, next(self._unused_seeds))
        return self.add_weight(shape=shape, initializer=initializer, name=name)

    def compute_output_shape(self, shape):
        return shape[:1]

    def get_config(self):
        return {**super().get_config(), "seeds": self._seeds}


@keras.saving.register_keras_serializable("tf_mdsm")
class LinearHead(_Head):
    """E = w . h + b: features [B, n] to energies [B]."""

    def build(self, shape):
        super().build(shape)
        size = shape[-1]
        self.kernel = self._add_vector("kernel", size, (size, 1))

    def call(self, features):
        return ops.squeeze(ops.matmul(features, self.kernel), -1) + self.constant


@keras.saving.register_keras_serializable("tf_mdsm")
class QuadraticHead(_Head):
    """E = (w1 . h + b1)(w2 . h + b2) + w3 . (h * h) + b3: features [B, n] to energies [B]."""

    def build(self, shape):
        super().build(shape)
        size = shape[-1]
        self.kernel_1 = self._add_vector("kernel_1", size, (size, 1))
        self.bias_1 = self._add_vector("bias_1", size, (1,))
        self.kernel_2 = self._add_vector("kernel_2", size, (size, 1))
        self.bias_2 = self._add_vector("bias_2", size, (1,))
        self.kernel_square = self._add_vector("kernel_square", size, (size, 1))

    def call(self, features):
        product = (ops.matmul(features, self.kernel_1) + self.bias_1) * (
            ops.matmul(features, self.kernel_2) + self.bias_2
        )
        square = ops.matmul(ops.square(features), self.kernel_square)
        return ops.squeeze(product + square, -1) + self.constant


class _DenoiserHead(layers.Layer):
    """An image and what a network takes for the clean one behind it, to an energy.

    Args:
        sigma0: the loss' fixed kernel width: so the energy's gradient has the residual's unit.
    """

    # Images that the network makes of one.
    num_guesses = 1

    def __init__(self, sigma0: float, **kwargs):
        super().__init__(**kwargs)
        self.sigma0 = sigma0

    def compute_output_shape(self, shapes):
        return shapes[0][:1]

    def get_config(self):
        return {**super().get_config(), "sigma0": self.sigma0}


@keras.saving.register_keras_serializable("tf_mdsm")
class DistanceHead(_DenoiserHead):
    """E = |x - f(x)|^2 / (2 sigma0^2): images and f(x) [B, H, W, C] to energies [B].

    Were f the best denoiser at one level and its derivative small, x - sigma0^2 dE/dx would be f.
    """

    def call(self, inputs):
        images, denoised = inputs
        squares = ops.sum(ops.square(images - denoised), axis=(1, 2, 3))
        return squares / (2 * self.sigma0**2)


@keras.saving.register_keras_serializable("tf_mdsm")
class ProductHead(_DenoiserHead):
    """E = x . (x - f(x)) / (2 sigma0^2): images and f(x) [B, H, W, C] to energies [B].

    For an f that scales with its input (f(ax) = a f(x)) with a symmetric derivative, the gradient
    is (x - f(x)) / sigma0^2 exactly.
    """

    def call(self, inputs):
        images, denoised = inputs
        products = ops.sum(images * (images - denoised), axis=(1, 2, 3))
        return products / (2 * self.sigma0**2)


@keras.saving.register_keras_serializable("tf_mdsm")
class TwoGuessesHead(_DenoiserHead):
    """E = (x - f(x)) . (x - g(x)) / (2 sigma0^2): images [B, H, W, C] and f and g one behind the
    other, [B, H, W, 2C], to energies [B].

    A learned quadratic form with the distance (f = g) and the product (g = 0) as special cases.
    """

    num_guesses = 2

    def call(self, inputs):
        images, guesses = inputs
        first, second = ops.split(guesses, 2, axis=-1)
        products = ops.sum((images - first) * (images - second), axis=(1, 2, 3))
        return products / (2 * self.sigma0**2)
