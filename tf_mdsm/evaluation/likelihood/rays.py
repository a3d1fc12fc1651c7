"""Energies along random rays: whether an energy confines its chains, and whether it is proper."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm.evaluation.likelihood.domain import Domain

__all__ = ["RayEnergies", "energies_along_rays"]

# Points of a ray, in units of the distance at which it leaves the domain.
_POINTS_INSIDE = np.linspace(0, 1, 9)
_POINTS_BEYOND = np.array([1.25, 1.5, 2, 4, 8, 16, 32])


@dataclasses.dataclass(frozen=True)
class RayEnergies:
    """The lowest energies along rays that start at states of chains.

    Attributes:
        start: lowest energy of the states.
        inside: lowest energy on the rays inside the domain.
        beyond: lowest energy on the rays beyond it.
        num_rays: number of rays.
    """

    start: float
    inside: float
    beyond: float
    num_rays: int

    @property
    def falls_beyond(self) -> bool:
        """Whether the energy is lower beyond the domain than inside."""
        return self.beyond < min(self.start, self.inside)


def energies_along_rays(
    energy_fn: Callable[[tf.Tensor], tf.Tensor],
    states: np.ndarray,
    domain: Domain,
    *,
    seed: int,
    batch_size: int,
) -> RayEnergies:
    """Looks along one ray from each state, up to 32 times the distance to the domain's wall.

    A third of the rays have normal directions, a third the signs of such, towards corners of the
    domain, and a third change all pixels alike.

    Args:
        energy_fn: E, from images, float32 [B, H, W, C], to energies [B].
        states: images inside the domain, at which the rays start, float32 [N, H, W, C].
        domain: the domain of the density.
        seed: seed of the directions.
        batch_size: images at a time.
    """
    directions = _directions(states.shape, seed)
    distances = domain.exit_distances(states, directions)[:, None, None, None]
    compiled: Any = tf.function(energy_fn, autograph=False, reduce_retracing=True)

    def lowest(points: np.ndarray) -> float:
        energies = []
        for point in points:
            images = (states + point * distances * directions).astype(np.float32)
            for first in range(0, len(images), batch_size):
                energies.append(compiled(tf.constant(images[first : first + batch_size])).numpy())
        # An energy that is not a number says nothing about its neighbours.
        return float(np.nanmin(np.concatenate(energies), initial=np.inf))

    return RayEnergies(
        start=lowest(np.zeros(1)),
        inside=lowest(_POINTS_INSIDE),
        beyond=lowest(_POINTS_BEYOND),
        num_rays=len(states),
    )


def _directions(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Directions of rays: normal, towards a corner, all pixels alike, and again, float64."""
    random = np.random.default_rng(seed)
    directions = random.standard_normal(shape)
    directions[1::3] = np.sign(directions[1::3])
    directions[2::3] = np.sign(directions[2::3, :1, :1, :1])
    return directions
