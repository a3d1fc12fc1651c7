"""Autoguidance in some steps of a method: there the energy is led away from a weaker one."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.base import (
    Method,
    State,
    Target,
    energy_and_score,
    require_method,
    require_target,
)
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN, KnownData
from tf_mdsm.samplers.values import number

__all__ = ["Guided", "GuidedTarget"]


@dataclasses.dataclass(frozen=True)
class GuidedTarget:
    """An energy E with a guide: w E - (w - 1) E_guide in the steps that `Guided` names.

    In all other steps, and for whatever else uses it, it is E itself.

    Attributes:
        target: E.
        guide: E_guide, an earlier or smaller energy of the same images.
        weight: w, at least 1.
    """

    target: Target
    guide: Target
    weight: float

    def __post_init__(self) -> None:
        require_target(self.target)
        require_target(self.guide)
        number("weight", self.weight, "be at least 1", lambda w: w >= 1)
        if tuple(self.guide.image_shape) != tuple(self.target.image_shape):
            requirement = f"be of images of {self.target.image_shape}, as the target"
            raise InvalidArgument("guide", requirement, self.guide.image_shape)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """As the target's."""
        return self.target.image_shape

    @property
    def sigma0(self) -> float:
        """As the target's."""
        return self.target.sigma0

    @property
    def noise(self) -> Any:
        """The noise levels that the target was trained for, if it has them."""
        return getattr(self.target, "noise", None)

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """As the target's."""
        return energy_and_score(self.target, images)


@dataclasses.dataclass(frozen=True)
class _GuidedIf(GuidedTarget):
    """A target that is guided or not; both are in the compiled graph, and one is computed.

    Attributes:
        is_guided: bool scalar.
    """

    is_guided: tf.Tensor

    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of w E - (w - 1) E_guide, or of E."""
        energy, score = energy_and_score(self.target, images)
        guide_energy, guide_score = tf.cond(
            self.is_guided,
            lambda: energy_and_score(self.guide, images),
            lambda: (energy, score),
        )
        weight = tf.where(self.is_guided, tf.constant(self.weight, tf.float32), 1.0)
        return (
            weight * energy - (weight - 1.0) * guide_energy,
            weight * score - (weight - 1.0) * guide_score,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Guided(Method):
    """A method with a guide in some of its steps; its target is a `GuidedTarget`.

    In the middle of the way from noise to images a guide gains most. At the end it costs diversity
    or precision, and everywhere it costs a second gradient (docs/results/samplers.md).
    With known data there is no guide: restoration is worse with it.

    Sources: Karras et al. 2024, "Guiding a diffusion model with a bad version of itself";
    Kynkäänniemi et al. 2024, "Applying guidance in a limited interval improves sample and
    distribution quality in diffusion models".

    Attributes:
        method: the method. Its start is used.
        guided: whether each step is guided, and last the final operation, bool [num_steps + 1].
    """

    method: Method
    guided: np.ndarray

    def __post_init__(self) -> None:
        require_method(self.method)
        guided = np.array(self.guided)
        size = self.method.num_steps + 1
        if guided.shape != (size,) or guided.dtype != bool:
            requirement = f"be True or False for each step and for the final operation, {size}"
            raise InvalidArgument("guided", requirement, self.guided)
        if self.start is not None:
            raise InvalidArgument("start", "be that of the method", type(self.start).__name__)
        guided.setflags(write=False)
        self._set(guided=guided, start=self.method.start)

    @property
    def num_steps(self) -> int:
        """As the method's."""
        return self.method.num_steps

    @property
    def evaluations_of_step(self) -> int:
        """As the method's; a guided step has twice as many."""
        return self.method.evaluations_of_step

    @property
    def evaluations_at_end(self) -> int:
        """As the method's; twice as many if the final operation is guided."""
        return self.method.evaluations_at_end * (1 + int(self.guided[-1]))

    @property
    def max_gradient_evaluations(self) -> int:
        """Maximum number of gradient evaluations of both energies per image."""
        guided = int(self.guided[:-1].sum()) * self.evaluations_of_step
        return super().max_gradient_evaluations + guided

    @property
    def schedule(self) -> tuple[str, np.ndarray]:
        """As the method's."""
        return self.method.schedule

    def sigma_range(self, target: Target) -> tuple[float, float]:
        """As the method's."""
        return self.method.sigma_range(target)

    def start_images(
        self, target: Target, seeds: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """As the method's."""
        return self.method.start_images(target, seeds, known)

    def initial_state(self, images: tf.Tensor) -> State:
        """As the method's."""
        return self.method.initial_state(images)

    def images_of(self, state: State) -> tf.Tensor:
        """As the method's."""
        return self.method.images_of(state)

    def step(
        self,
        target: Target,
        state: State,
        seeds: tf.Tensor,
        step: tf.Tensor,
        known: KnownData,
    ) -> tuple[State, tf.Tensor, tf.Tensor | bool]:
        """One step of the method, guided or not, as in `Method.step`."""
        target = _guided_if(target, tf.constant(self.guided)[step])
        return self.method.step(target, state, seeds, step, known)

    def finish(
        self, target: Target, images: tf.Tensor, known: KnownData = NOTHING_KNOWN
    ) -> tf.Tensor:
        """Final images of the method, guided or not, as in `Method.finish`."""
        if self.guided[-1]:
            target = _guided_if(target, tf.constant(True))
        return self.method.finish(target, images, known)

    def sample_given(self, target: Target, known: KnownData) -> tf.Tensor:
        """As the method's, without the guide."""
        return self.method.sample_given(target, known)


def _guided_if(target: Target, is_guided: tf.Tensor) -> _GuidedIf:
    """The target, guided where a scalar is True."""
    if not isinstance(target, GuidedTarget):
        requirement = "be a GuidedTarget for a method that is guided (a run's is `run.target`)"
        raise InvalidArgument("target", requirement, type(target).__name__)
    return _GuidedIf(target.target, target.guide, target.weight, is_guided)
