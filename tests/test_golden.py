"""Our networks, loss, gradients and optimizer against the authors' PyTorch code."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.golden import FILES, load, relative_error
from tests.helpers.targets import FunctionTarget
from tf_mdsm import losses
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.training.optimizers import Adam

SIGMA0 = 0.1


@pytest.fixture(scope="module", params=FILES)
def golden(request):
    return load(request.param)


@pytest.fixture
def noisy(golden):
    sigma = golden.arrays["sigma"][:, None, None, None]
    return tf.constant(golden.images("image") + sigma * golden.images("noise"))


def normalized_losses(golden, noise):
    """The loss of each image, as the training step computes it."""
    sigma = tf.constant(golden.arrays["sigma"])
    clean = tf.constant(golden.images("image"))
    noisy = clean + sigma[:, None, None, None] * noise
    return losses.mdsm_losses(
        golden.network,
        clean,
        noisy,
        kernel_variance=losses.kernel_variances(sigma, "inverse_square", SIGMA0),
        weight=losses.loss_weights(sigma, "inverse_square", sigma_data=0.25),
    )


@pytest.mark.parametrize("suffix", ["", "_float64"])
def test_energy_and_gradient(golden, noisy, suffix):
    energy, gradient = losses.energy_and_gradient(golden.network, noisy)
    assert relative_error(energy, golden.arrays[f"energy{suffix}"]) < 1e-5
    assert relative_error(gradient, golden.images(f"energy_gradient{suffix}")) < 1e-5


def test_energy_and_gradient_in_float64(golden):
    """The golden float64 numbers with float64 networks, so that rounding plays no role."""
    exact = load(golden.name, precision="float64")
    noise, sigma = golden.images("noise").astype(float), golden.arrays["sigma"].astype(float)
    noisy = tf.constant(golden.images("image") + sigma[:, None, None, None] * noise)
    energy, gradient = losses.energy_and_gradient(exact.network, noisy)
    assert relative_error(energy, golden.arrays["energy_float64"]) < 1e-7
    assert relative_error(gradient, golden.images("energy_gradient_float64")) < 1e-7


def test_denoised(golden, noisy):
    denoised = losses.denoise(golden.network, noisy, SIGMA0)
    assert relative_error(denoised, golden.images("denoised")) < 1e-5


def test_loss_and_its_gradient_in_every_parameter(golden):
    variables = golden.network.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(normalized_losses(golden, golden.images("noise")))
    assert relative_error(loss, golden.arrays["normalized_loss"]) < 1e-5
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        expected = golden.parameter("loss_gradient", variable)
        error = relative_error(gradient, expected)
        assert error < 1e-4, f"{variable.path}: {error:.2e}"


def test_five_adam_steps(golden):
    golden = load(golden.name)
    learning_rate = keras.optimizers.schedules.CosineDecay(1e-3, 50, alpha=1e-3)
    optimizer = Adam(learning_rate, 0.9, 0.95, 1e-8)
    variables = golden.network.trainable_variables
    # Five steps hardly change these losses: only the parameters distinguish optimizers.
    for step, noise in enumerate(golden.images("adam_noise")):
        expected_rate = golden.arrays["adam_learning_rate"][step]
        assert float(learning_rate(step)) == pytest.approx(expected_rate, rel=1e-5)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(normalized_losses(golden, noise))
            raw_loss = loss / SIGMA0**4
        assert relative_error(loss, golden.arrays["adam_normalized_loss"][step]) < 1e-4
        gradients = tape.gradient(raw_loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
    for variable in variables:
        error = relative_error(variable, golden.parameter("adam_weight", variable))
        # PyTorch's own results in float32 and float64 differ by up to 1.7e-5 here.
        assert error < 5e-5, f"{variable.path}: {error:.2e}"


def test_twenty_langevin_steps_without_noise(golden):
    """Within one unit in the last place of numbers from 4 to 8.

    With random weights the steps move the images by 2.4e-6 at most (Res6), five such units.
    """

    def energy_and_score(images):
        energy, gradient = losses.energy_and_gradient(golden.network, images)
        return energy, -gradient

    start = tf.constant(golden.images("langevin_start"))
    seeds = tf.range(len(start), dtype=tf.int64)
    cold = np.zeros(20, np.float32)
    method = AnnealedLangevin(cold, step_size=0.02)
    target = FunctionTarget(energy_and_score, start.shape[1:], SIGMA0)
    images, energies = tf.function(method.advance, autograph=False)(target, start, seeds, 0, 20)
    expected = golden.images("langevin_end_20_steps_no_noise_eps_0.02")
    np.testing.assert_allclose(images, expected, rtol=0, atol=2.0**-21)
    assert energies.shape == (20, len(start))
