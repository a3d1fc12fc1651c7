"""Multi-scale denoising score matching, equation by equation (MDSM, section 3).

    normalised loss = mean_b  l(sigma_b) ||x_b - x_noisy_b + sigma0^2 dE/dx(x_noisy_b)||^2

With l = 1/sigma^2 and dE/dx near 0, as at the start, it is the number of pixels d.
"""

from collections.abc import Callable

import tensorflow as tf

__all__ = ["denoise", "energy_and_gradient", "mdsm_losses"]

EnergyFn = Callable[[tf.Tensor], tf.Tensor]


def energy_and_gradient(energy_fn: EnergyFn, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Energies [B] and their gradients in the pixels [B, H, W, C]."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        energy = energy_fn(images)
    return energy, tape.gradient(energy, images)


def denoise(energy_fn: EnergyFn, images: tf.Tensor, sigma0: float) -> tf.Tensor:
    """D(x) = x - sigma0^2 dE/dx: with the paper's loss the clean image behind x, whatever its
    noise level."""
    return images - sigma0**2 * energy_and_gradient(energy_fn, images)[1]


def mdsm_losses(
    energy_fn: EnergyFn,
    clean: tf.Tensor,
    noisy: tf.Tensor,
    kernel_variance: tf.Tensor,
    weight: tf.Tensor,
) -> tf.Tensor:
    """The normalised loss of each image.

    Args:
        energy_fn: images to energies [B].
        clean: images x, [B, H, W, C].
        noisy: x + sigma z, likewise.
        kernel_variance: sigma0^2, or sigma^2 to regress the score itself, [B].
        weight: l(sigma), [B].

    Returns:
        weight * ||clean - noisy + kernel_variance * dE/dx(noisy)||^2, [B].
    """
    _, gradient = energy_and_gradient(energy_fn, noisy)
    residual = clean - noisy + kernel_variance[:, None, None, None] * gradient
    return weight * tf.reduce_sum(tf.square(residual), axis=(1, 2, 3))
