"""What a sampler is."""

import abc
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.conditioning import Known, KnownPixels
from tf_mdsm.samplers.starts import StartFn

__all__ = ["EnergyAndScoreFn", "Sampler"]

# Images [B, H, W, C] to energies [B] and scores -dE/dx [B, H, W, C].
EnergyAndScoreFn = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Sampler(abc.ABC):
    """From seeds to images in steps: start, advance, finish.

    A sampler is a frozen dataclass of callables and arrays. Its methods make graphs, one loop
    each: call them from a `tf.function`. Each image's noise depends on its seed and the number
    of the step only, so an image does not depend on its batch, nor on where its chain is cut.

    Attributes:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        start_fn: seeds to the images where the chains begin.
    """

    energy_and_score_fn: EnergyAndScoreFn
    start_fn: StartFn

    @property
    @abc.abstractmethod
    def num_steps(self) -> int:
        """Steps of a chain, at most; what `start` and `finish` do is none of them."""

    @property
    @abc.abstractmethod
    def max_gradient_evaluations(self) -> int:
        """Gradients of the energy that an image costs, at most."""

    @property
    @abc.abstractmethod
    def schedule(self) -> tuple[str, np.ndarray]:
        """What drives the chain, for plots: its name, and its value at each step [num_steps]."""

    def start(self, seeds: tf.Tensor, known: Known | None = None) -> tf.Tensor:
        """Where the chains begin.

        Args:
            seeds: int64 [B], each >= 0.
            known: what is to be kept.

        Returns:
            images, float32 [B, H, W, C].
        """
        del known
        return self.start_fn(seeds)

    @abc.abstractmethod
    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, number: tf.Tensor, known: Known | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | bool]:
        """Step `number` of the chain.

        Returns:
            the images after it; their energy at its first gradient, [B]; and False if all
            images have arrived, so that further steps would not change them.
        """

    def advance(
        self,
        images: tf.Tensor,
        seeds: tf.Tensor,
        first_step: tf.Tensor | int,
        num_steps: tf.Tensor | int,
        known: Known | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A stretch of the chain; it ends when all images have arrived.

        Args:
            images: where the chains stand, float32 [B, H, W, C].
            seeds: int64 [B], each >= 0.
            first_step: number of the first step of the stretch.
            num_steps: steps of the stretch, at least 1.
            known: what is to be kept.

        Returns:
            the images after it, and the energy at each of its steps, float32 [num_steps, B];
            those of steps that were left out are the last one's.
        """

        def body(i, images, energies, _):
            images, energy, goes_on = self.step(images, seeds, first_step + i, known)
            return i + 1, images, energies.write(i, energy), goes_on

        energies = tf.TensorArray(tf.float32, num_steps, clear_after_read=False)
        done, images, energies, _ = tf.while_loop(
            lambda i, _, __, goes_on: goes_on & (i < num_steps),
            body,
            (tf.constant(0), images, energies, tf.constant(True)),
        )
        return images, energies.gather(tf.minimum(tf.range(num_steps), done - 1))

    @abc.abstractmethod
    def finish(self, images: tf.Tensor, known: Known | None = None) -> tf.Tensor:
        """The images that a chain ends with; what is known need not be exact yet."""

    def draw(self, seeds: tf.Tensor) -> tf.Tensor:
        """One image for each seed.

        Args:
            seeds: int64 [B], each >= 0.

        Returns:
            images, not clipped, float32 [B, H, W, C].
        """
        images, _ = self.advance(self.start(seeds), seeds, 0, self.num_steps)
        return self.finish(images)

    def restore(self, known: Known) -> tf.Tensor:
        """The same chain, held to what is known; one image for each of its seeds.

        Returns:
            images, not clipped, that agree with what is known, float32 [B, H, W, C].
        """
        images = self.start(known.seeds, known)
        images, _ = self.advance(images, known.seeds, 0, self.num_steps, known)
        return known.project(self.finish(images, known))

    def inpaint(self, images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """The same chain on the unknown pixels only.

        Args:
            images: float32 [B, H, W, C]; the unknown pixels may hold anything finite.
            mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
            seeds: int64 [B], each >= 0.

        Returns:
            images whose known pixels are those of `images`, bit for bit, [B, H, W, C].
        """
        return self.restore(KnownPixels(images, mask, seeds))
