"""Images of which some pixels are known."""

import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.langevin import ConditionFn

__all__ = ["with_known_pixels"]


def with_known_pixels(
    images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor, sigma0: float
) -> ConditionFn:
    """Puts the known pixels in, noised to the level of the moment, sigma0 sqrt(T).

    Langevin dynamics at temperature T moves among images noised by sigma0 sqrt(T); so the
    gradient at the unknown pixels is taken where all pixels have that noise. (The authors'
    published sampler noises by sigma0 T^(1/4).)

    Args:
        images: float32 [B, H, W, C]; the unknown pixels may hold anything finite.
        mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
        seeds: one seed an image, int64 [B], each >= 0; the noise is fresh at each step.
        sigma0: the loss' fixed kernel width.
    """
    is_known = tf.broadcast_to(mask > 0.5, tf.shape(images))
    shape = tuple(images.shape[1:])

    def condition(state: tf.Tensor, step: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
        noise = randomness.normal(seeds, (step, 0), "known_pixels", shape)
        return tf.where(is_known, images + sigma0 * tf.sqrt(temperature) * noise, state)

    return condition
