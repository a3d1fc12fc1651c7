"""The mixture reference: its density, its score, its samples, its mass in the domain."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.annealing import EVERYWHERE
from tests.helpers.image_mixtures import SHAPE, two_gaussians
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.evaluation.likelihood.mixture import MixtureReference
from tf_mdsm.evaluation.likelihood.start_density import StartDensity


def test_energy_and_score_are_those_of_the_mixture():
    """The density as SciPy's Gaussians have it (`StartDensity`), and its own derivative."""
    start = two_gaussians(sigma=0.3)
    reference = MixtureReference(start, EVERYWHERE)
    images = tf.constant(np.random.default_rng(0).normal(size=(9, *SHAPE)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        energy, score = reference.energy_and_score(images)
    expected = -StartDensity(start, SHAPE).log_density(images.numpy())
    np.testing.assert_allclose(energy, expected, rtol=1e-4)
    np.testing.assert_allclose(score, -tape.gradient(energy, images), rtol=1e-3, atol=1e-3)
    # Both Gaussians count somewhere.
    assert reference.image_shape == SHAPE
    # The narrowest direction is one across the components, with 0.02 + 0.09.
    assert reference.smallest_std == pytest.approx(0.11**0.5, rel=1e-5)


def test_samples_have_the_density():
    """The mean of the score over its own density is 0."""
    reference = MixtureReference(two_gaussians(sigma=0.3), EVERYWHERE)
    samples = reference.sample(tf.range(4_000, dtype=tf.int64))
    scores = reference.energy_and_score(samples)[1].numpy()
    errors = scores.std(axis=0) / 4_000**0.5
    assert (np.abs(scores.mean(axis=0)) < 5 * errors).all()
    assert reference.log_mass.value == pytest.approx(0, abs=1e-3)


def test_samples_outside_are_refused_and_counted():
    """The mass is the share of draws inside, within its interval; a seed keeps its sample."""
    start, domain = two_gaussians(sigma=0.3), Domain(1.0)
    reference = MixtureReference(start, domain)
    drawn = start.noisy_images(tf.range(20_000, dtype=tf.int64), SHAPE)
    share = domain.contains(drawn).numpy().mean()
    assert 0.05 < share < 0.95
    log_mass = reference.log_mass
    assert abs(log_mass.value - np.log(share)) < 5 * (log_mass.error + (1 / share / 20_000) ** 0.5)
    samples = reference.sample(tf.range(50, dtype=tf.int64))
    assert domain.contains(samples).numpy().all()
    alone = reference.sample(tf.constant([7], tf.int64))
    # Products of matrices round by the size of the batch.
    np.testing.assert_allclose(alone[0], samples[7], rtol=1e-4, atol=1e-6)


def test_a_mixture_without_width_is_refused():
    start = dataclasses.replace(two_gaussians(sigma=0.3), sigma=0.0)
    with pytest.raises(InvalidArgument, match="`sigma` must make the reference wider than 0"):
        MixtureReference(start, EVERYWHERE)
