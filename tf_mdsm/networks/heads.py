"""Heads: the last layer of a network, which computes the energy E(x).

- Feature heads compute it from the features h of a ResNet or of the dense network: `LinearHead` and
  the paper's `QuadraticHead`.
- Denoiser heads compute it from the image x and a U-Net's guess f(x) of the clean image:
  `DistanceHead`, `ProductHead`, `TwoGuessesHead`.
"""
# pyright: reportOptionalOperand=false, reportGeneralTypeIssues=false
# (keras.ops is annotated as returning None)

import abc
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import layers, ops

from tf_mdsm.networks.convolutions import fan_in_uniform

__all__ = [
    "DenoiserHead",
    "DistanceHead",
    "LinearHead",
    "ProductHead",
    "QuadraticHead",
    "TwoGuessesHead",
    "denoiser_head",
    "energy_of_features",
]


class _FeatureHead(layers.Layer):
    """Base class: features [B, n] to energies [B], with an additive constant b.

    The constant shifts all energies by the same amount. It does not change any score, so it is not
    trained. It is kept because the authors' weights include one.

    Args:
        seeds: seeds of the initial weights, one for each weight except the constant.
    """

    def __init__(self, seeds: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self._seeds = list(seeds)

    def build(self, shape: Any) -> None:
        """Adds the constant, 0 at first."""
        self._unused_seeds = iter(self._seeds)
        self.constant = self.add_weight(
            shape=(1,), initializer="zeros", trainable=False, name="constant"
        )

    def _add_vector(self, name: str, fan_in: int, shape: tuple[int, ...]) -> keras.Variable:
        initializer = fan_in_uniform(fan_in, next(self._unused_seeds))
        return self.add_weight(shape=shape, initializer=initializer, name=name)

    def compute_output_shape(self, shape: Any) -> Any:
        """[B]."""
        return shape[:1]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        return {**super().get_config(), "seeds": self._seeds}


@keras.saving.register_keras_serializable("tf_mdsm")
class LinearHead(_FeatureHead):
    """E = w . h + b: features h [B, n] to energies [B]."""

    def build(self, shape: Any) -> None:
        """Adds w [n, 1] and b [1]."""
        super().build(shape)
        size = shape[-1]
        self.kernel = self._add_vector("kernel", size, (size, 1))

    def call(self, features: Any) -> Any:
        """Computes w . h + b."""
        return ops.squeeze(ops.matmul(features, self.kernel), -1) + self.constant


@keras.saving.register_keras_serializable("tf_mdsm")
class QuadraticHead(_FeatureHead):
    """E = (w1 . h + b1)(w2 . h + b2) + w3 . (h * h) + b: features h [B, n] to energies [B]."""

    def build(self, shape: Any) -> None:
        """Adds w1, w2, w3 [n, 1] and b1, b2, b [1]."""
        super().build(shape)
        size = shape[-1]
        self.kernel_1 = self._add_vector("kernel_1", size, (size, 1))
        self.bias_1 = self._add_vector("bias_1", size, (1,))
        self.kernel_2 = self._add_vector("kernel_2", size, (size, 1))
        self.bias_2 = self._add_vector("bias_2", size, (1,))
        self.kernel_square = self._add_vector("kernel_square", size, (size, 1))

    def call(self, features: Any) -> Any:
        """Computes (w1 . h + b1)(w2 . h + b2) + w3 . (h * h) + b."""
        first = ops.matmul(features, self.kernel_1) + self.bias_1
        second = ops.matmul(features, self.kernel_2) + self.bias_2
        product = first * second
        square = ops.matmul(ops.square(features), self.kernel_square)
        return ops.squeeze(product + square, -1) + self.constant


def energy_of_features(
    features: keras.KerasTensor, head: str, seeds: Iterator[int], dtype: str
) -> keras.KerasTensor:
    """The energies [B] of features [B, …], which are flattened first.

    Args:
        features: symbolic features of a network. For the linear head, ELU is applied to them.
        head: one of `architectures.FEATURE_HEADS`.
        seeds: seeds of the initial weights.
        dtype: dtype of the head and the energies.
    """
    features = layers.Flatten("channels_last", dtype=dtype)(features)
    if head == "quadratic":
        return QuadraticHead([next(seeds) for _ in range(5)], name="energy", dtype=dtype)(features)
    features = layers.Activation("elu", dtype=dtype, name="head_elu")(features)
    return LinearHead([next(seeds)], name="energy", dtype=dtype)(features)


class DenoiserHead(layers.Layer):
    """Base class of heads that compute the energy from x and a U-Net's estimate of the clean image.

    Args:
        sigma0: the fixed kernel width of the loss. The energy is divided by sigma0^2, so that
            x - sigma0^2 dE/dx is a denoised image.
    """

    # Images that the network must compute from each image.
    num_guesses = 1

    def __init__(self, sigma0: float, **kwargs):
        super().__init__(**kwargs)
        self.sigma0 = sigma0

    @abc.abstractmethod
    def products(self, x: Any, guesses: Any) -> Any:
        """What the energy is a sum of, times 2 sigma0^2, at each value, [B, H, W, C].

        Args:
            x: images [B, H, W, C].
            guesses: the U-Net's guesses of the clean image, [B, H, W, num_guesses C].
        """

    def call(self, inputs: Any) -> Any:
        """The energies [B] of the pair (x, guesses): the sum of `products` over 2 sigma0^2."""
        x, guesses = inputs
        return ops.sum(self.products(x, guesses), axis=(1, 2, 3)) / (2 * self.sigma0**2)

    def densities(self, x: Any, guesses: Any) -> Any:
        """The energy as an integral: its part at each pixel, [B, H, W], whose sum it is."""
        return ops.sum(self.products(x, guesses), axis=3) / (2 * self.sigma0**2)

    def compute_output_shape(self, shapes: Any) -> Any:
        """[B]."""
        return shapes[0][:1]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, for saving."""
        return {**super().get_config(), "sigma0": self.sigma0}


@keras.saving.register_keras_serializable("tf_mdsm")
class DistanceHead(DenoiserHead):
    """E = |x - f(x)|^2 / (2 sigma0^2): images x and f(x) [B, H, W, C] to energies [B].

    Where the derivative of f is small, x - sigma0^2 dE/dx is close to f(x).
    """

    def products(self, x: Any, guesses: Any) -> Any:
        """(x - f)^2."""
        return ops.square(x - guesses)


@keras.saving.register_keras_serializable("tf_mdsm")
class ProductHead(DenoiserHead):
    """E = x . (x - f(x)) / (2 sigma0^2): images x and f(x) [B, H, W, C] to energies [B].

    If f scales with its input, f(ax) = a f(x), and has a symmetric derivative, then the gradient is
    exactly (x - f(x)) / sigma0^2.
    """

    def products(self, x: Any, guesses: Any) -> Any:
        """x (x - f)."""
        return x * (x - guesses)


@keras.saving.register_keras_serializable("tf_mdsm")
class TwoGuessesHead(DenoiserHead):
    """E = (x - f(x)) . (x - g(x)) / (2 sigma0^2): images x [B, H, W, C], and f(x) and g(x)
    concatenated to [B, H, W, 2C], to energies [B].

    A learned quadratic form. The distance (f = g) and the product (g = 0) are special cases.
    """

    num_guesses = 2

    def products(self, x: Any, guesses: Any) -> Any:
        """(x - f) (x - g), for the concatenated f and g."""
        f, g = ops.split(guesses, 2, axis=-1)
        return (x - f) * (x - g)


def denoiser_head(name: str, sigma0: float, dtype: str) -> DenoiserHead:
    """The head layer of a U-Net, by its name in `architectures.DENOISER_HEADS`."""
    kinds = {"distance": DistanceHead, "product": ProductHead, "two_guesses": TwoGuessesHead}
    return kinds[name](sigma0, name="energy", dtype=dtype)
