"""Images of which some pixels are known."""

import dataclasses

import tensorflow as tf

from tf_mdsm import randomness

__all__ = ["KnownPixels"]


@dataclasses.dataclass(frozen=True)
class KnownPixels:
    """What is known of some images, to be put into the state of a chain.

    A gradient at the unknown pixels means something only where all pixels have one noise level:
    so the known ones are noised to the level of the moment.

    Attributes:
        images: float32 [B, H, W, C]; the unknown pixels may hold anything finite.
        mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
        seeds: one seed an image, int64 [B], each >= 0.
    """

    images: tf.Tensor
    mask: tf.Tensor
    seeds: tf.Tensor

    def put_in(self, state: tf.Tensor) -> tf.Tensor:
        """The state with the known pixels as they are."""
        return tf.where(self.mask > 0.5, self.images, state)

    def put_in_noised(self, state: tf.Tensor, step: tf.Tensor, sigma: tf.Tensor) -> tf.Tensor:
        """The state with the known pixels under noise of level sigma, fresh at each step."""
        is_known = tf.broadcast_to(self.mask > 0.5, tf.shape(self.images))
        shape = tuple(self.images.shape[1:])
        noise = randomness.normal(self.seeds, (step, 0), "known_pixels", shape)
        return tf.where(is_known, self.images + sigma * noise, state)
