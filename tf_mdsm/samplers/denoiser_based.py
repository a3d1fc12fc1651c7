"""What the samplers that walk by the blind denoiser share."""

import abc
import dataclasses

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.base import EnergyAndScoreFn, Sampler
from tf_mdsm.samplers.conditioning import Known
from tf_mdsm.samplers.schedules import require_schedule
from tf_mdsm.samplers.starts import StartFn

__all__ = ["DenoiserSampler", "NoiseGridSampler"]


@dataclasses.dataclass(frozen=True)
class DenoiserSampler(Sampler):
    """Steps towards D(x) = x + sigma0^2 score(x), the clean image behind x.

    D knows no noise level; the loss makes it the best guess at whatever level x has. One
    evaluation gives the energy and D. The last step is D itself.

    Of what is known the best guess is itself: it replaces D there, and starts under noise. So
    each sampler's own step carries it down, and it has the noise level of the moment before each
    gradient, as the rest has.

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

    def start(self, seeds: tf.Tensor, known: Known | None = None) -> tf.Tensor:
        images = self.start_fn(seeds)
        return known.project_noisy(images, 0, self.first_sigma) if known else images

    def finish(self, images: tf.Tensor, known: Known | None = None) -> tf.Tensor:
        """D(x), without the noise that is left."""
        return self._denoise(images, known)[1]

    def _denoise(self, images: tf.Tensor, known: Known | None) -> tuple[tf.Tensor, tf.Tensor]:
        """Energies, [B], and the best guess at the clean images, of one gradient."""
        energy, score = self.energy_and_score_fn(images)
        denoised = images + self.sigma0**2 * score
        return energy, known.project(denoised) if known else denoised


@dataclasses.dataclass(frozen=True)
class NoiseGridSampler(DenoiserSampler):
    """Those that go down a grid of noise levels, the same for all images.

    Attributes:
        sigmas: noise levels, falling, all positive, float32 [N]; the chain begins at the first,
            and D is taken of what it is at the last.
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
        return float(self.sigmas[0])

    @property
    def num_steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        return "noise level sigma", self.sigmas[:-1]
