"""Targets and methods: what images are sampled from, and the base classes of how."""

import abc
import dataclasses
from typing import Any, Protocol, runtime_checkable

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownData, KnownPixels
from tf_mdsm.samplers.schedules import checked_schedule
from tf_mdsm.samplers.starts import IsotropicStart, SmoothStart, Start
from tf_mdsm.samplers.values import Value

__all__ = [
    "DenoiserMethod",
    "Method",
    "NoiseGridMethod",
    "State",
    "Target",
    "TemperatureMethod",
    "denoise",
    "energy_and_score",
    "require_method",
    "require_target",
]

# The images [B, H, W, C] on their way, or a tuple of them and of what a method remembers besides.
State = Any


@runtime_checkable
class Target(Protocol):
    """What images are sampled from: an energy and its score. An `EnergyModel` is one.

    A Gaussian of mean m and covariance s^2 I, under noise of level sigma0:

        class Gaussian:
            image_shape, sigma0 = (8, 8, 1), 0.1

            def energy_and_score(self, images):
                offset = images - m
                variance = s**2 + self.sigma0**2
                return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * variance), -offset / variance
    """

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images."""
        ...

    @property
    def sigma0(self) -> float:
        """The constant of the denoised image D(x) = x + sigma0^2 score(x), in pixel units.

        If exp(-E) is the density of the images under noise of level sigma0, as for the Gaussian
        above, D is the best denoiser of that level (Tweedie's formula).

        For an `EnergyModel` it is the fixed constant of the loss. Its D denoises at all trained
        levels, except with the weighting "score". With no weighting is exp(-E) exactly the density
        under one noise level (see `NoiseLevels`).

        Samplers that follow exp(-E / T) take T = (sigma / sigma0)^2 for noise of level sigma.
        """
        ...

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Energies [B] and scores -dE/dx [B, H, W, C] of images, float32 [B, H, W, C].

        It is compiled, so it consists of TensorFlow's operations.
        """
        ...


def require_target(target: object) -> None:
    """Raises InvalidArgument unless an object has the attributes of a `Target`."""
    if not isinstance(target, Target):
        requirement = "have image_shape, sigma0 and energy_and_score, as an EnergyModel has"
        raise InvalidArgument("target", requirement, type(target).__name__)


def energy_and_score(target: Target, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """A target's energies, float32 [B], and scores, float32 [B, H, W, C].

    Raises:
        InvalidArgument: if the target returns other shapes.
    """
    energy, score = (tf.cast(x, tf.float32) for x in target.energy_and_score(images))
    if energy.shape.rank not in (None, 1) or not score.shape.is_compatible_with(images.shape):
        requirement = "return energies [B] and scores [B, H, W, C]"
        received = f"shapes {energy.shape} and {score.shape}"
        raise InvalidArgument("target.energy_and_score", requirement, received)
    return energy, score


def denoise(target: Target, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """One gradient evaluation: energies [B], and D(x) = x + sigma0^2 score(x), [B, H, W, C]."""
    energy, score = energy_and_score(target, images)
    return energy, images + target.sigma0**2 * score


@dataclasses.dataclass(frozen=True, eq=False)
class Method(Value, abc.ABC):
    """How a target is sampled: a start, a sequence of steps, and a final operation.

    Each subclass is a frozen dataclass of arrays and numbers. It holds no target, so one method
    serves many targets; all functions take the target first. They build graphs, with one
    loop each: call them inside a `tf.function`. The noise of an image depends only on the image's
    seed and on the index of the step. Therefore an image depends neither on the other images of
    its batch, nor on where a sampling run is split into parts.

    A method is called calibrated if the distribution of its images is exact, whatever the step
    size.

    Attributes:
        start: where sampling starts. None: `IsotropicStart` at the method's first noise level.
    """

    start: Start | None = dataclasses.field(default=None, kw_only=True)

    @property
    @abc.abstractmethod
    def num_steps(self) -> int:
        """Maximum number of steps; `start_images` and `finish` are not counted."""

    @property
    @abc.abstractmethod
    def evaluations_of_step(self) -> int:
        """Gradient evaluations of the energy per image in one step."""

    @property
    def evaluations_at_end(self) -> int:
        """Gradient evaluations of the energy per image in `finish`: one."""
        return 1

    @property
    def max_gradient_evaluations(self) -> int:
        """Maximum number of gradient evaluations of the energy per image, `finish` included."""
        return self.num_steps * self.evaluations_of_step + self.evaluations_at_end

    @property
    @abc.abstractmethod
    def schedule(self) -> tuple[str, np.ndarray]:
        """The quantity that controls the steps, for plots: its name and its values [num_steps]."""

    @abc.abstractmethod
    def sigma_range(self, target: Target) -> tuple[float, float]:
        """The last and the first noise level that the images have, in pixel units.

        The last is 0 for a method that cools to temperature 0.
        """

    def start_images(
        self, target: Target, seeds: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """Images at which sampling starts.

        Args:
            target: what is sampled.
            seeds: int64 [B], each >= 0.
            known: data that the final images must agree with.

        Returns:
            images, float32 [B, H, W, C].

        Raises:
            InvalidArgument: if the start makes images of another shape than the target's.
        """
        start = self.start or IsotropicStart(self.sigma_range(target)[1])
        if isinstance(start, SmoothStart):
            return start.noisy_images(seeds, target.image_shape, known)
        return start.noisy_images(seeds, target.image_shape)

    def initial_state(self, images: tf.Tensor) -> State:
        """What the first step takes: the images, for a method that remembers nothing else.

        Other methods have tensors [B, H, W, C] besides, in a tuple.
        """
        return images

    def images_of(self, state: State) -> tf.Tensor:
        """The images of a state, float32 [B, H, W, C]."""
        return state

    @abc.abstractmethod
    def step(
        self,
        target: Target,
        state: State,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
        /,
    ) -> tuple[State, tf.Tensor, tf.Tensor | bool]:
        """One step of the method.

        Args:
            target: what is sampled.
            state: the images before the step, float32 [B, H, W, C], or a state as
                `initial_state` makes it.
            seeds: int64 [B], each >= 0.
            step: index of the step, int32 scalar in [0, num_steps).
            known: data that the final images must agree with.

        Returns:
            the state after the step; the energy at the step's first gradient evaluation,
            float32 [B]; and whether any image is still unfinished: if none is, further steps would
            not change them.
        """

    def advance(
        self,
        target: Target,
        state: State,
        seeds: tf.Tensor,
        first_step: tf.Tensor | int,
        num_steps: tf.Tensor | int,
        known: KnownData = NOTHING_KNOWN,
    ) -> tuple[State, tf.Tensor]:
        """Runs `num_steps` consecutive steps, or fewer if all images are finished earlier.

        Args:
            target: what is sampled.
            state: the images before these steps, or a state as `initial_state` makes it.
            seeds: int64 [B], each >= 0.
            first_step: index of the first of these steps.
            num_steps: number of steps, at least 1 if the method has steps.
            known: data that the final images must agree with.

        Returns:
            the state after the steps, and the energy at each step, float32 [num_steps, B]. Steps
            that were not needed have the energy of the last step that was run.
        """
        if not self.num_steps:
            # XLA compiles no step whose schedule has no values.
            return state, tf.zeros([0, tf.shape(self.images_of(state))[0]])

        def body(i, state, energies, _):
            state, energy, is_unfinished = self.step(target, state, seeds, first_step + i, known)
            return i + 1, state, energies.write(i, energy), is_unfinished

        energies = tf.TensorArray(tf.float32, num_steps, clear_after_read=False)
        steps_done, state, energies, _ = tf.while_loop(
            lambda i, _, __, is_unfinished: is_unfinished & (i < num_steps),
            body,
            (tf.constant(0), state, energies, tf.constant(True)),
        )
        return state, energies.gather(tf.minimum(tf.range(num_steps), steps_done - 1))

    @abc.abstractmethod
    def finish(
        self, target: Target, images: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """Final images, from the images after the last step.

        Args:
            target: what is sampled.
            images: images after the last step, float32 [B, H, W, C].
            known: data that the final images must agree with; `sample_given` makes the agreement
                exact afterwards.

        Returns:
            images, not clipped, float32 [B, H, W, C].
        """

    def sample(self, target: Target, seeds: tf.Tensor) -> tf.Tensor:
        """Samples one image for each seed.

        Args:
            target: what is sampled.
            seeds: int64 [B], each >= 0.

        Returns:
            images, not clipped, float32 [B, H, W, C].
        """
        return self.sample_from(target, self.start_images(target, seeds), seeds)

    def sample_from(self, target: Target, images: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
        """As `sample`, from given starting images, float32 [B, H, W, C]."""
        state, _ = self.advance(target, self.initial_state(images), seeds, 0, self.num_steps)
        return self.finish(target, self.images_of(state))

    def sample_given(self, target: Target, known: KnownData) -> tf.Tensor:
        """Samples images that agree with known data, one image for each seed of `known`.

        Returns:
            images, not clipped, that agree with the known data, float32 [B, H, W, C].
        """
        state = self.initial_state(self.start_images(target, known.seeds, known))
        state, _ = self.advance(target, state, known.seeds, 0, self.num_steps, known)
        return known.project(self.finish(target, self.images_of(state), known))

    def inpaint(
        self, target: Target, images: tf.Tensor, mask: tf.Tensor, seeds: tf.Tensor
    ) -> tf.Tensor:
        """Samples the unknown pixels of images, given their known pixels.

        Args:
            target: what is sampled.
            images: float32 [B, H, W, C]; uint8 is divided by 255. The unknown pixels may have any
                finite value.
            mask: 1 where a pixel is known, else 0, float32 [B, H, W, 1].
            seeds: int64 [B], each >= 0.

        Returns:
            images whose known pixels are those of `images`, bit for bit, [B, H, W, C].
        """
        return self.sample_given(target, KnownPixels(images, mask, seeds))


def require_method(method: object) -> None:
    """Raises InvalidArgument unless an object is a `Method`."""
    if not isinstance(method, Method):
        received = f"the class {method.__name__}" if isinstance(method, type) else method
        raise InvalidArgument("method", "be a method, as Heun([2.0, 0.5, 0.1])", received)


@dataclasses.dataclass(frozen=True, eq=False)
class DenoiserMethod(Method):
    """Base class of methods that move towards D(x) = x + sigma0^2 score(x), the denoised image.

    D is a blind denoiser: it is not given the noise level of x. The training loss makes D(x) an
    estimate of the clean image at every trained noise level, except with the weighting "score".
    One gradient evaluation gives both the energy and D(x). The final image is D(x) of the image
    after the last step.

    With known data, the best estimate of the known part is the known data themselves: they replace
    D(x) there. The known part starts with noise of the first level, and the method's own
    steps reduce this noise. So, before each gradient evaluation, the known part has the same noise
    level as the rest of the image.
    """

    def start_images(
        self, target: Target, seeds: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """As `Method.start_images`; known data have noise of the first level."""
        images = super().start_images(target, seeds, known)
        return known.project_noisy(images, 0, self.sigma_range(target)[1])

    def finish(
        self, target: Target, images: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """Final images D(x), without the remaining noise; arguments as in `Method.finish`."""
        return self.denoise(target, images, known)[1]

    def denoise(
        self, target: Target, images: tf.Tensor, known: KnownData
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One gradient evaluation: energies [B], and D(x) with the known data in place.

        A subclass's `step` uses this, never the target, so that conditioning works.
        """
        energy, denoised = denoise(target, images)
        return energy, known.project(denoised)


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseGridMethod(DenoiserMethod):
    """Base class of denoiser-based methods that follow a grid of falling noise levels.

    All images have the same noise level at the same step.

    Attributes:
        sigmas: noise levels, falling, all positive, float32 [N]. Sampling starts at the first
            level; the final image is D(x) of the image at the last level.
    """

    sigmas: np.ndarray

    def __post_init__(self) -> None:
        self._set(
            sigmas=checked_schedule(
                "sigmas",
                self.sigmas,
                "be positive, and fall",
                lambda s: s.min() > 0 and (np.diff(s) < 0).all(),
            )
        )

    @property
    def num_steps(self) -> int:
        """Number of steps, one between two neighboring noise levels."""
        return len(self.sigmas) - 1

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        """Noise level before each step: its name and its values [num_steps]."""
        return "noise level sigma", self.sigmas[:-1]

    def sigma_range(self, target: Target) -> tuple[float, float]:
        """The last and the first of `sigmas`."""
        del target
        return float(self.sigmas[-1]), float(self.sigmas[0])


@dataclasses.dataclass(frozen=True, eq=False)
class TemperatureMethod(Method):
    """Base class of methods that sample exp(-E / T) at a falling temperature T.

    At temperature T the images look like clean images with noise of level sigma0 sqrt(T).

    Attributes:
        temperatures: T of each step, never negative, never rising, float32 [steps].
    """

    temperatures: np.ndarray

    def __post_init__(self) -> None:
        self._set(
            temperatures=checked_schedule(
                "temperatures",
                self.temperatures,
                "never be negative, and never rise",
                lambda t: t.min() >= 0 and (np.diff(t) <= 0).all(),
            )
        )

    @property
    def num_steps(self) -> int:
        """Number of steps: one for each temperature."""
        return len(self.temperatures)

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        """Temperature of each step: its name and its values [num_steps]."""
        return "temperature", self.temperatures

    def sigma_range(self, target: Target) -> tuple[float, float]:
        """The levels sigma0 sqrt(T) of the last and of the first temperature."""
        last, first = target.sigma0 * np.sqrt(self.temperatures[[-1, 0]].astype(float))
        return float(last), float(first)
