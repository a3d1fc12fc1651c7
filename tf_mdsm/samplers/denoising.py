"""What the samplers that walk by the blind denoiser share."""

import abc
import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.inpainting import KnownPixels
from tf_mdsm.samplers.sampler import EnergyAndScoreFn, Sampler
from tf_mdsm.samplers.starts import StartFn

__all__ = ["DenoiseFn", "DenoisingSampler", "FallingNoise"]

# Images to energies [B] and denoised images.
DenoiseFn = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


@dataclasses.dataclass(frozen=True)
class DenoisingSampler(Sampler):
    """Steps towards D(x) = x + sigma0^2 score(x), the clean image behind x.

    D knows no noise level; the loss makes it the best guess at whatever level x has. One
    evaluation gives the energy and D. The last step is D itself.

    Of known pixels y the best guess is y: D is replaced by y there, and they start at y + noise.
    So each sampler's own step carries them down, and they have the noise level of the moment
    before each gradient, as the unknown ones have.

    Attributes:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        start_fn: seeds to the images where the chains begin, of noise level `first_sigma`.
        sigma0: the loss' fixed kernel width.
    """

    energy_and_score_fn: EnergyAndScoreFn
    start_fn: StartFn
    sigma0: float

    @property
    @abc.abstractmethod
    def first_sigma(self) -> float:
        """The noise level of the images where the chains begin."""

    @abc.abstractmethod
    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, denoise_fn: DenoiseFn
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | bool]:
        """Step `number` of the chain.

        Returns:
            the images after it; their energy at its first gradient, [B]; and False if all
            images have arrived, so that further steps would not change them.
        """

    def start(self, seeds: tf.Tensor, known: KnownPixels | None = None) -> tf.Tensor:
        images = self.start_fn(seeds)
        return known.put_in_noised(images, 0, self.first_sigma) if known else images

    def advance(
        self,
        images: tf.Tensor,
        seeds: tf.Tensor,
        first_step: tf.Tensor | int,
        num_steps: tf.Tensor | int,
        known: KnownPixels | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A stretch of the chain, as `Sampler` has it; it ends when all images have arrived.

        The energies of the steps that are then left out are those of the last one.
        """

        def body(i, images, energies, _):
            images, energy, goes_on = self.step(
                images, seeds, first_step + i, lambda state: self._denoise(state, known)
            )
            return i + 1, images, energies.write(i, energy), goes_on

        energies = tf.TensorArray(tf.float32, num_steps, clear_after_read=False)
        done, images, energies, _ = tf.while_loop(
            lambda i, _, __, goes_on: goes_on & (i < num_steps),
            body,
            (tf.constant(0), images, energies, tf.constant(True)),
        )
        return images, energies.gather(tf.minimum(tf.range(num_steps), done - 1))

    def finish(self, images: tf.Tensor, known: KnownPixels | None = None) -> tf.Tensor:
        """D(x), without the noise that is left."""
        return self._denoise(images, known)[1]

    def _denoise(self, images: tf.Tensor, known: KnownPixels | None) -> tuple[tf.Tensor, tf.Tensor]:
        energy, score = self.energy_and_score_fn(images)
        denoised = images + self.sigma0**2 * score
        return energy, known.put_in(denoised) if known else denoised


@dataclasses.dataclass(frozen=True)
class FallingNoise(DenoisingSampler):
    """Those that go down a grid of noise levels, the same for all images.

    Attributes:
        sigmas: noise levels, falling, all positive, float32 [N]; the chain begins at the first,
            and D is taken of what it is at the last.
    """

    sigmas: np.ndarray

    @property
    def first_sigma(self) -> float:
        return float(self.sigmas[0])

    @property
    def num_steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def clock(self) -> tuple[str, np.ndarray]:
        return "noise level sigma", self.sigmas[:-1]
