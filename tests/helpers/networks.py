"""Checks that the tests of several networks share, and images for them."""

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm import losses
from tf_mdsm.networks.architectures import UNetStructure

# A U-Net with each of its optional parts.
EVERY_PART = UNetStructure(
    patch_size=2, num_resolutions=2, num_blocks=2, attention_size=4, scale_input=True
)


def noisy_images(*shape: int, seed: int = 0) -> tf.Tensor:
    """Random images [B, H, W, C] that exceed [0, 1] on both sides."""
    return tf.constant(np.random.default_rng(seed).uniform(-0.5, 1.5, shape), tf.float32)


def assert_derivatives(
    network: keras.Model, *, one_by_one: bool = False, tolerance: float = 1e-5
) -> None:
    """Compares dE/dx, and the derivative of the loss in the weights, with finite differences.

    The second needs second derivatives of every layer.

    Args:
        network: an energy network of float64.
        one_by_one: compare in one random direction for each array of weights, which names a wrong
            one, instead of one direction for all together.
        tolerance: relative errors that are allowed in the derivatives of the loss. Third
            derivatives cause about 1e-10, each kink of ELU's derivative that is close by up to
            1e-3.
    """
    generator = np.random.default_rng(0)
    clean, noisy, direction = (
        tf.constant(generator.normal(size=(4, *network.input_shape[1:]))) for _ in range(3)
    )
    step = 1e-6

    _, gradient = losses.energy_and_gradient(network, noisy)
    slope = (network(noisy + step * direction) - network(noisy - step * direction)) / (2 * step)
    expected = tf.reduce_sum(gradient * direction, (1, 2, 3))
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-9)

    def loss() -> tf.Tensor:
        # With a large variance of the kernel the gradient of the energy dominates the loss.
        variance, weight = tf.fill([4], tf.constant(100.0, tf.float64)), tf.ones(4, tf.float64)
        return tf.reduce_sum(
            losses.mdsm_losses(network, clean, noisy, kernel_variance=variance, weight=weight)
        )

    if one_by_one:
        loss = tf.function(loss, autograph=False)
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [v.value for v in variables], unconnected_gradients="zero")
    # Two values of the loss, of which each has a rounding error of a few eps.
    rounding = 10 * np.finfo(float).eps * float(value) / step
    pairs = list(zip(variables, gradients, strict=True))
    for group in [[pair] for pair in pairs] if one_by_one else [pairs]:
        slope, expected = _slopes(loss, group, step, generator)
        message = ", ".join(variable.path for variable, _ in group)
        assert slope == pytest.approx(expected, rel=tolerance, abs=rounding), message


def _slopes(
    loss: Callable[[], tf.Tensor],
    group: list[tuple[keras.Variable, tf.Tensor]],
    step: float,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """The derivative of the loss in a random direction: finite difference, and by gradients.

    Args:
        loss: computes the loss from the variables' values.
        group: variables that change together, each with the gradient of the loss.
        step: distance of both values from the middle.
        generator: gives the direction.
    """
    changes = [(v, v.numpy(), generator.normal(size=v.shape)) for v, _ in group]
    values = []
    for distance in (step, -step):
        for variable, origin, direction in changes:
            variable.assign(origin + distance * direction)
        values.append(float(loss()))
    for variable, origin, _ in changes:
        variable.assign(origin)
    products = [
        np.sum(gradient * direction)
        for (_, gradient), (_, _, direction) in zip(group, changes, strict=True)
    ]
    return (values[0] - values[1]) / (2 * step), float(sum(products))
