"""Energies along rays: falling inside the domain, beyond it, or nowhere."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.rays import energies_along_rays

DOMAIN = Domain(1.0)
STATES = np.random.default_rng(0).uniform(size=(12, 2, 2, 1)).astype(np.float32)


def along_rays(energy, batch_size=5):
    return energies_along_rays(energy, STATES, DOMAIN, seed=0, batch_size=batch_size)


def bowl(x):
    return tf.reduce_sum((x - 0.5) ** 2, (1, 2, 3))


def test_an_energy_that_rises_everywhere():
    rays = along_rays(bowl)
    assert rays.start == pytest.approx(bowl(STATES).numpy().min())
    assert rays.inside <= rays.start < rays.beyond
    assert not rays.falls_beyond
    assert rays.num_rays == 12
    assert along_rays(bowl, batch_size=12) == rays


def test_an_improper_energy_falls_beyond():
    """-|x|^2: along all rays. A cubic one: along those with a positive sum, also where all pixels
    change alike; in a box it is bounded."""
    rays = along_rays(lambda x: -bowl(x))
    assert rays.falls_beyond
    # No point of the box has a distance above 1.5 in any pixel; the rays go far beyond.
    assert rays.beyond < -20 * 9 < -9 <= rays.inside <= rays.start
    assert along_rays(lambda x: bowl(x) - 0.1 * tf.reduce_sum(x, (1, 2, 3)) ** 3).falls_beyond


def test_a_wall_around_the_images_hides_nothing_behind_it():
    """The energy rises, and falls only at three times the domain's distance or farther."""
    rays = along_rays(lambda x: tf.where(bowl(x) < 100.0, bowl(x), -bowl(x)))
    assert rays.inside <= rays.start < 9
    assert rays.falls_beyond


def test_points_inside_lie_inside_and_points_beyond_outside():
    def outside(x):
        return tf.where(DOMAIN.contains((x - 0.5) * 0.9999 + 0.5), -1.0, 1.0)

    rays = along_rays(outside)
    assert (rays.start, rays.inside, rays.beyond) == (-1, -1, 1)
    rays = along_rays(lambda x: -outside(x))
    assert (rays.start, rays.inside, rays.beyond) == (1, 1, -1)


def test_energies_that_are_not_numbers_are_left_out():
    """An energy of -inf counts: it is the lowest of all."""
    inside = DOMAIN.contains
    rays = along_rays(lambda x: tf.where(inside(x), bowl(x), np.nan))
    assert np.isfinite([rays.start, rays.inside]).all()
    assert not rays.falls_beyond
    assert along_rays(lambda x: tf.where(inside(x), bowl(x), -np.inf)).falls_beyond
