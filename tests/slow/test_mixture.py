"""The recipe `mixture` learns the energy and the score of a known mixture."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.recipes import recipe
from tf_mdsm.datasets import synthetic
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.runs.build_data import build_images, build_true_energy
from tf_mdsm.runs.build_model import build_model, build_optimizer
from tf_mdsm.visualization.model_views import samples_picture


@pytest.fixture(scope="module")
def trained():
    """Configuration and trained model of the recipe `mixture`."""
    config = recipe("mixture")
    images, _ = build_images(config)
    model = build_model(config)
    model.compile(build_optimizer(config), steps_per_execution=100)
    batches = training_batches(images, batch_size=config.training.batch_size, seed=config.seed)
    model.fit(batches, steps_per_epoch=config.training.num_steps, verbose=0)
    return config, model


def test_learned_score_and_energy_are_near_the_true_ones(trained, capsys):
    """The weighting "score" learns the energy up to a constant."""
    config, model = trained
    sigmas = model.noise.sigmas
    generator = np.random.default_rng(1)
    sigma = generator.choice(sigmas, 4_000)[:, None, None, None]
    noise = generator.standard_normal((4_000, 1, 1, 2))
    points = tf.constant(synthetic.mixture(4_000) + sigma * noise, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(points)
        energy = build_true_energy(config)(points)
    true_score = -tape.gradient(energy, points)
    error = float(tf.norm(model.score(points) - true_score) / tf.norm(true_score))
    with capsys.disabled():
        print(f"\nmixture: relative error of the learned score {error:.3f}")
    assert error < 0.15
    shift = model.energy(points) - energy
    assert np.std(shift) < 0.1 * np.std(energy)


def test_picture_of_the_learned_and_the_true_energy(trained):
    config, model = trained
    points = synthetic.mixture(50)
    picture = samples_picture(model, points, build_true_energy(config))
    assert picture.shape == (500, 1000, 3)
    alone = samples_picture(model, points)
    assert alone.shape == (500, 500, 3)
