"""Base classes of samplers: `Sampler`, and below it those that use the blind denoiser."""

import abc
import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownData, KnownPixels
from tf_mdsm.samplers.schedules import require_schedule
from tf_mdsm.samplers.starts import StartFn

__all__ = ["DenoiserSampler", "EnergyAndScoreFn", "NoiseGridSampler", "Sampler"]

# From images [B, H, W, C] to energies [B] and scores -dE/dx [B, H, W, C].
EnergyAndScoreFn = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class Sampler(abc.ABC):
    """A sampler: from seeds to images by a start, a sequence of steps, and a final operation.

    Each subclass is a frozen dataclass of callables and arrays. The methods build graphs, with one
    loop each: call them inside a `tf.function`. The noise of an image depends only on the image's
    seed and on the index of the step. Therefore an image depends neither on the other images of
    its batch, nor on where a sampling run is split into parts.

    A sampler is called calibrated if the distribution of its images is exact, whatever the step
    size.

    Attributes:
        energy_and_score_fn: from images to energies [B] and scores -dE/dx [B, H, W, C].
        start_fn: from seeds to the images at which sampling starts.
    """

    energy_and_score_fn: EnergyAndScoreFn
    start_fn: StartFn

    @property
    @abc.abstractmethod
    def num_steps(self) -> int:
        """Maximum number of steps; `start` and `finish` are not counted."""

    @property
    @abc.abstractmethod
    def max_gradient_evaluations(self) -> int:
        """Maximum number of gradient evaluations of the energy per image, `finish` included."""

    @property
    @abc.abstractmethod
    def schedule(self) -> tuple[str, np.ndarray]:
        """The quantity that controls the steps, for plots: its name and its values [num_steps]."""

    def start(self, seeds: tf.Tensor, known: KnownData = NOTHING_KNOWN) -> tf.Tensor:
        """Images at which sampling starts.

        Args:
            seeds: int64 [B], each >= 0.
            known: data that the final images must agree with.

        Returns:
            images, float32 [B, H, W, C].
        """
        del known
        return self.start_fn(seeds)

    @abc.abstractmethod
    def step(
        self, images: tf.Tensor, seeds: tf.Tensor, step: tf.Tensor, known: KnownData
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | bool]:
        """One step of the sampler.

        Args:
            images: images before the step, float32 [B, H, W, C].
            seeds: int64 [B], each >= 0.
            step: index of the step, int32 scalar in [0, num_steps).
            known: data that the final images must agree with.

        Returns:
            the images after the step; the energy at the step's first gradient evaluation,
            float32 [B]; and whether any image is still unfinished: if none is, further steps would
            not change them.
        """

    def advance(
        self,
        images: tf.Tensor,
        seeds: tf.Tensor,
        first_step: tf.Tensor | int,
        num_steps: tf.Tensor | int,
        known: KnownData = NOTHING_KNOWN,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs `num_steps` consecutive steps, or fewer if all images are finished earlier.

        Args:
            images: images before these steps, float32 [B, H, W, C].
            seeds: int64 [B], each >= 0.
            first_step: index of the first of these steps.
            num_steps: number of steps, at least 1.
            known: data that the final images must agree with.

        Returns:
            the images after the steps, and the energy at each step, float32 [num_steps, B]. Steps
            that were not needed have the energy of the last step that was run.
        """

        def body(i, images, energies, _):
            images, energy, is_unfinished = self.step(images, seeds, first_step + i, known)
            return i + 1, images, energies.write(i, energy), is_unfinished

        energies = tf.TensorArray(tf.float32, num_steps, clear_after_read=False)
        steps_done, images, energies, _ = tf.while_loop(
            lambda i, _, __, is_unfinished: is_unfinished & (i < num_steps),
            body,
            (tf.constant(0), images, energies, tf.constant(True)),
        )
        return images, energies.gather(tf.minimum(tf.range(num_steps), steps_done - 1))

    @abc.abstractmethod
    def finish(self, images: tf.Tensor, known: KnownData = NOTHING_KNOWN) -> tf.Tensor:
        """Final images, from the images after the last step.

        Args:
            images: images after the last step, float32 [B, H, W, C].
            known: data that the final images must agree with; `sample_given` makes the agreement
                exact afterwards.

        Returns:
            images, not clipped, float32 [B, H, W, C].
        """

    def sample(self, seeds: tf.Tensor) -> tf.Tensor:
        """Samples one image for each seed.

        Args:
            seeds: int64 [B], each >= 0.

        Returns:
            images, not clipped, float32 [B, H, W, C].
        """
        images, _ = self.advance(self.start(seeds), seeds, 0, self.num_steps)
        return self.finish(images)

    def sample_given(self, known: KnownData) -> tf.Tensor:
        """Samples images that agree with known data, one image for each seed of `known`.

        Returns:
            images, not clipped, that agree with the known data, float32 [B, H, W, C].
        """
        images = self.start(known.seeds, known)
        images, _ = self.advance(images, known.seeds, 0, self.num_steps, known)
        return known.project(self.finish(images, known))

    def inpaint(self, images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """Samples the unknown pixels of images, given their known pixels.

        Args:
            images: float32 [B, H, W, C]; the unknown pixels may have any finite value.
            mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
            seeds: int64 [B], each >= 0.

        Returns:
            images whose known pixels are those of `images`, bit for bit, [B, H, W, C].
        """
        return self.sample_given(KnownPixels(images, mask, seeds))


@dataclasses.dataclass(frozen=True)
class DenoiserSampler(Sampler):
    """Base class of samplers that move towards D(x) = x + sigma0^2 score(x), the denoised image.

    D is a blind denoiser: it is not given the noise level of x. The training loss makes D(x) an
    estimate of the clean image at every trained noise level, except with the weighting "score".
    One gradient evaluation gives both the energy and D(x). The final image is D(x) of the image
    after the last step.

    With known data, the best estimate of the known part is the known data themselves: they replace
    D(x) there. The known part starts with noise of level `first_sigma`, and the sampler's own
    steps reduce this noise. So, before each gradient evaluation, the known part has the same noise
    level as the rest of the image.

    Attributes:
        energy_and_score_fn: from images to energies [B] and scores -dE/dx [B, H, W, C].
        start_fn: from seeds to starting images, of noise level `first_sigma`.
        sigma0: fixed kernel width of the training loss, in pixel units.
    """

    energy_and_score_fn: EnergyAndScoreFn
    start_fn: StartFn
    sigma0: float

    @property
    @abc.abstractmethod
    def first_sigma(self) -> float:
        """Noise level of the starting images, in pixel units."""

    def start(self, seeds: tf.Tensor, known: KnownData = NOTHING_KNOWN) -> tf.Tensor:
        """Starting images, as in `Sampler.start`; known data have noise of level `first_sigma`."""
        images = self.start_fn(seeds)
        return known.project_noisy(images, 0, self.first_sigma)

    def finish(self, images: tf.Tensor, known: KnownData = NOTHING_KNOWN) -> tf.Tensor:
        """Final images D(x), without the remaining noise; arguments as in `Sampler.finish`."""
        return self.denoise(images, known)[1]

    def denoise(self, images: tf.Tensor, known: KnownData) -> tuple[tf.Tensor, tf.Tensor]:
        """One gradient evaluation: energies [B], and D(x) with the known data in place.

        A subclass's `step` uses this, never `energy_and_score_fn`, so that conditioning works.
        """
        energy, score = self.energy_and_score_fn(images)
        denoised = images + self.sigma0**2 * score
        return energy, known.project(denoised)


@dataclasses.dataclass(frozen=True)
class NoiseGridSampler(DenoiserSampler):
    """Base class of denoiser-based samplers that follow a grid of falling noise levels.

    All images have the same noise level at the same step.

    Attributes:
        sigmas: noise levels, falling, all positive, float32 [N]. Sampling starts at the first
            level; the final image is D(x) of the image at the last level.
    """

    sigmas: np.ndarray

    def __post_init__(self):
        require_schedule(
            "sigmas",
            self.sigmas,
            "be positive, and fall",
            lambda s: s.min() > 0 and (np.diff(s) < 0).all(),
        )

    @property
    def first_sigma(self) -> float:
        """Noise level of the starting images: the first of `sigmas`."""
        return float(self.sigmas[0])

    @property
    def num_steps(self) -> int:
        """Number of steps, one between two neighboring noise levels."""
        return len(self.sigmas) - 1

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        """Noise level before each step: its name and its values [num_steps]."""
        return "noise level sigma", self.sigmas[:-1]
