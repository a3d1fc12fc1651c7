"""Adam with PyTorch's epsilon, and the warm-up of its learning rate."""

import keras
import numpy as np
import pytest

from tests.helpers.learning_rates import rates
from tf_mdsm.training.optimizers import Adam, WarmUp


def test_updates_are_those_of_algorithm_1():
    """Kingma and Ba (2015): epsilon is outside of the root of the corrected second moment."""
    rate, beta_1, beta_2, epsilon = 0.1, 0.8, 0.9, 0.5
    gradients = np.random.default_rng(0).normal(size=(4, 3))
    weight = keras.Variable(np.ones(3), dtype="float64")
    optimizer = Adam(rate, beta_1, beta_2, epsilon)
    optimizer.build([weight])
    expected, mean, square = np.ones(3), np.zeros(3), np.zeros(3)
    for step, gradient in enumerate(gradients, 1):
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float64")])
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = beta_2 * square + (1 - beta_2) * gradient**2
        root = np.sqrt(square / (1 - beta_2**step))
        expected -= rate * mean / (1 - beta_1**step) / (root + epsilon)
        # The moments are float32, as all variables of Keras's optimizers.
        np.testing.assert_allclose(weight.numpy(), expected, rtol=10 * np.finfo(np.float32).eps)


def test_the_first_update_is_as_long_as_the_rate():
    """Also of gradients that are small against the root of 1 - beta_2."""
    weight = keras.Variable(np.zeros(2), dtype="float32")
    optimizer = Adam(0.25)
    optimizer.build([weight])
    optimizer.apply([keras.ops.convert_to_tensor([1e-5, -1e-5], "float32")])
    # Epsilon is 1e-8, a thousandth of the gradient.
    np.testing.assert_allclose(weight.numpy(), [-0.25 / 1.001, 0.25 / 1.001], rtol=1e-5)


@pytest.mark.parametrize("schedule", [2.0, keras.optimizers.schedules.CosineDecay(2.0, 100)])
def test_warm_up_rises_to_the_schedule(schedule):
    steps = np.array([0, 3, 9, 10, 50, 99])
    expected = np.full(6, 2.0)
    if callable(schedule):
        expected = 1 + np.cos(np.pi * steps / 100)
    expected *= np.minimum(1, (steps + 1) / 10)
    # The sum of 1 and a cosine of float32 has a few absolute errors of eps.
    tolerance = 4 * np.finfo(np.float32).eps
    ours = rates(Adam(WarmUp(schedule, 10)), steps)
    np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance)


def test_warm_up_can_be_saved_with_its_optimizer():
    decay = keras.optimizers.schedules.CosineDecay(1e-3, 50)
    for schedule in (decay, 2e-3):
        optimizer = Adam(WarmUp(schedule, 7), beta_2=0.95)
        restored = Adam.from_config(optimizer.get_config())
        np.testing.assert_array_equal(rates(restored, range(12)), rates(optimizer, range(12)))


def test_adam_can_be_saved():
    settings = Adam(1e-4, 0.8, 0.9, 1e-6).get_config()
    assert settings["beta_2"] == 0.9
    assert Adam.from_config(settings).get_config() == settings
