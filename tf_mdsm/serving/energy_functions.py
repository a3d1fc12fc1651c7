"""What an export offers: energy, score, denoise, noise level, sample and inpaint as functions."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from tf_mdsm import losses

__all__ = ["EnergyFunctions"]

Outputs = dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class EnergyFunctions:
    """A trained energy and its sampler as TensorFlow functions of images and seeds.

    Images are float32 [B, H, W, C]. Every method returns its outputs by name, and takes its
    inputs as they are: `signatures` adds the checks.

    Attributes:
        energy_fn: images to energies [B].
        score_fn: images to scores [B, H, W, C].
        denoise_fn: images to denoised images.
        sample_fn: seeds, int64 [B], to sampled images, which are clipped afterwards.
        inpaint_fn: images, mask [B, H, W, 1] and seeds [B] to images with the same known pixels.
    """

    energy_fn: Callable[[tf.Tensor], tf.Tensor]
    score_fn: Callable[[tf.Tensor], tf.Tensor]
    denoise_fn: Callable[[tf.Tensor], tf.Tensor]
    sample_fn: Callable[[tf.Tensor], tf.Tensor]
    inpaint_fn: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

    def sample(self, seed: tf.Tensor) -> Outputs:
        """Samples, clipped to [0, 1], and their energies."""
        images = tf.clip_by_value(self.sample_fn(seed), 0.0, 1.0)
        return {"images": images, "energy": self.energy_fn(images)}

    def energy(self, images: tf.Tensor) -> Outputs:
        """Energies of images."""
        return {"energy": self.energy_fn(images)}

    def score(self, images: tf.Tensor) -> Outputs:
        """Scores of images, the negative gradient of the energy."""
        return {"score": self.score_fn(images)}

    def denoise(self, images: tf.Tensor) -> Outputs:
        """Denoised images, not clipped."""
        return {"images": self.denoise_fn(images)}

    def noise_level(self, images: tf.Tensor) -> Outputs:
        """Estimated noise levels of images, in pixel units."""
        return {"noise_level": losses.noise_level(images, self.denoise_fn(images))}

    def inpaint(self, images: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor) -> Outputs:
        """Images with sampled pixels, clipped to [0, 1], where the mask is 0."""
        return {"images": tf.clip_by_value(self.inpaint_fn(images, mask, seed), 0.0, 1.0)}
