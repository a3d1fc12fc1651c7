"""The loss: multi-scale denoising score matching (MDSM, section 3), equation by equation.

For clean images x_b and noisy images x_noisy_b = x_b + sigma_b z_b, where z_b ~ N(0, I), the loss
of a batch is

    L = mean_b  l(sigma_b) ||x_b - x_noisy_b + sigma0^2 dE/dx(x_noisy_b)||^2

`mdsm_losses` computes one term of this mean for each image, `loss_weights` the weight l(sigma),
and `kernel_variances` the factor of the gradient: sigma0^2, or sigma^2 for the weighting "score".
With l = 1/sigma^2 and dE/dx near 0, as in an untrained ResNet, L is about d = H W C, the
number of values of an image. The optimizer minimizes L / sigma0^4 (`energy_model`).

Source: Z. Li, Y. Chen, F. T. Sommer, "Learning Energy-Based Models in High-Dimensional Spaces
with Multi-scale Denoising Score Matching", arXiv 1910.07762.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.weightings import WEIGHTINGS

__all__ = [
    "EnergyFn",
    "denoise",
    "denoiser_losses",
    "energy_and_gradient",
    "kernel_variances",
    "loss_weights",
    "mdsm_losses",
    "noise_level",
    "noise_level_map",
]

# Images [B, H, W, C] to energies [B].
EnergyFn = Callable[[tf.Tensor], tf.Tensor]


def mdsm_losses(
    energy_fn: EnergyFn,
    clean: tf.Tensor,
    noisy: tf.Tensor,
    *,
    kernel_variance: tf.Tensor,
    weight: tf.Tensor,
) -> tf.Tensor:
    """Loss of each image: weight ||x - x_noisy + kernel_variance dE/dx(x_noisy)||^2.

    Args:
        energy_fn: function from images [B, H, W, C] to energies [B].
        clean: images x in [0, 1], [B, H, W, C].
        noisy: noisy images x_noisy = x + sigma z, [B, H, W, C].
        kernel_variance: factor of the gradient for each image, [B] (`kernel_variances`).
        weight: l(sigma) for each image, [B] (`loss_weights`).

    Returns:
        losses, [B]. Their mean over a batch is its loss L.
    """
    _, gradient = energy_and_gradient(energy_fn, noisy)
    residual = clean - noisy + kernel_variance[:, None, None, None] * gradient
    return weight * tf.reduce_sum(tf.square(residual), axis=(1, 2, 3))


def denoiser_losses(
    guess_fn: Callable[[tf.Tensor], tf.Tensor],
    clean: tf.Tensor,
    noisy: tf.Tensor,
    *,
    weight: tf.Tensor,
) -> tf.Tensor:
    """Loss of each image of a plain denoiser f: weight ||x - f(x_noisy)||^2.

    For an energy |x - f(x)|^2 / (2 sigma0^2) it is the loss of `mdsm_losses` without the derivative
    of f: there x - sigma0^2 dE/dx = f + J'(x - f), where J is the derivative. It needs no second
    derivatives, so a training step takes about half the time.

    Args:
        guess_fn: the denoiser f, from images [B, H, W, C] to images.
        clean: images x in [0, 1], [B, H, W, C].
        noisy: noisy images x_noisy = x + sigma z, [B, H, W, C].
        weight: l(sigma) for each image, [B] (`loss_weights`).

    Returns:
        losses, [B].
    """
    residual = clean - tf.cast(guess_fn(noisy), clean.dtype)
    return weight * tf.reduce_sum(tf.square(residual), axis=(1, 2, 3))


def loss_weights(sigma: tf.Tensor, weighting: str, sigma_data: float) -> tf.Tensor:
    """The weight l(sigma) of each image's squared residual.

        "inverse_square"    l = 1 / sigma^2                      the paper
        "constant"          l = 1
        "score"             l = 1 / sigma^2                      with kernel variance sigma^2
        "edm"               l = 1 / sigma^2 + 1 / sigma_data^2   EDM's lambda(sigma)

    For "score" the loss is sigma^2 ||dE/dx - (x_noisy - x) / sigma^2||^2: the regression of
    the score itself with weight sigma^2. "edm" gives large levels more weight than
    "inverse_square" does (Karras et al. 2022, "Elucidating the design space of diffusion-based
    generative models").

    Args:
        sigma: noise level of each image, in pixel units, [B].
        weighting: name of the weighting.
        sigma_data: standard deviation of the images' pixels; only "edm" uses it.

    Returns:
        l(sigma), [B].

    Raises:
        InvalidArgument: for an unknown weighting.
    """
    match weighting:
        case "inverse_square" | "score":
            return sigma**-2
        case "constant":
            return tf.ones_like(sigma)
        case "edm":
            return sigma**-2 + sigma_data**-2
    raise _unknown_weighting(weighting)


def kernel_variances(sigma: tf.Tensor, weighting: str, sigma0: float) -> tf.Tensor:
    """The factor of dE/dx in the residual: sigma0^2, or sigma^2 for the weighting "score".

        "inverse_square", "constant", "edm"    sigma0^2, the same for all noise levels (the paper)
        "score"                                sigma^2

    Args:
        sigma: noise level of each image, in pixel units, [B].
        weighting: name of the weighting.
        sigma0: the fixed width of the kernel, in pixel units.

    Returns:
        the factor of dE/dx in the residual, [B].

    Raises:
        InvalidArgument: for an unknown weighting.
    """
    match weighting:
        case "inverse_square" | "constant" | "edm":
            return tf.constant(sigma0, sigma.dtype) ** 2 * tf.ones_like(sigma)
        case "score":
            return sigma**2
    raise _unknown_weighting(weighting)


def denoise(energy_fn: EnergyFn, images: tf.Tensor, sigma0: float) -> tf.Tensor:
    """The denoised images D(x) = x - sigma0^2 dE/dx, [B, H, W, C].

    With the paper's loss D(x) estimates the clean image behind x. The noise level of x is not
    an input: D is a blind denoiser.
    """
    return images - sigma0**2 * energy_and_gradient(energy_fn, images)[1]


def noise_level(images: tf.Tensor, denoised: tf.Tensor) -> tf.Tensor:
    """The noise level that a denoiser finds in each image: |D(x) - x| / sqrt(d), [B].

    It is biased low. For images under noise of level sigma, and D(x) the conditional mean of the
    clean image, its mean square is

        E |D(x) - x|^2 / d = sigma^2 - E |D(x) - x_clean|^2 / d

    where d = H W C: the noise that D leaves in the image is not counted. For images ~ N(m, C)
    with eigenvalues c_i of C, this is sigma^2 mean_i sigma^2 / (c_i + sigma^2). So the bias is
    small where the noise is larger than the contrast of the image in most directions.

    Args:
        images: noisy images x, [B, H, W, C].
        denoised: D(x), [B, H, W, C] (`denoise`).

    Returns:
        noise levels, in pixel units, [B].
    """
    return tf.sqrt(tf.reduce_mean(tf.square(denoised - images), axis=(1, 2, 3)))


def noise_level_map(images: tf.Tensor, denoised: tf.Tensor, window: int) -> tf.Tensor:
    """The noise level that a denoiser finds around each pixel, [B, H, W].

    It is the root of the mean of (D(x) - x)^2 over the channels and over a square of window x
    window pixels around the pixel. At the border the mean is over the part of the square that lies
    in the image. `noise_level` is the same for the whole image, with the same bias. Besides, of n
    values under one noise level it has a standard error of about 1/sqrt(2 n), relatively.

    Args:
        images: noisy images x, [B, H, W, C].
        denoised: D(x), [B, H, W, C] (`denoise`).
        window: side of the square, an odd number of pixels.

    Returns:
        noise levels, in pixel units, [B, H, W].
    """
    squares = tf.reduce_mean(tf.square(denoised - images), axis=3, keepdims=True)
    # "SAME" leaves out of each mean what lies outside of the image.
    return tf.sqrt(tf.squeeze(tf.nn.avg_pool2d(squares, window, 1, "SAME"), 3))


def energy_and_gradient(energy_fn: EnergyFn, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Energies E(x), [B], and their gradients dE/dx with respect to the pixels, [B, H, W, C]."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        energy = energy_fn(images)
    gradient: Any = tape.gradient(energy, images)
    return energy, gradient


def _unknown_weighting(weighting: str) -> InvalidArgument:
    return InvalidArgument("weighting", f"be one of {', '.join(WEIGHTINGS)}", weighting)
