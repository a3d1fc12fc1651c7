"""What an export offers, by functions with known answers."""

import numpy as np
import tensorflow as tf

from tests.helpers.known_export import (
    energy_tolerance,
    known_energy,
    known_functions,
    known_noise_level,
    spelled,
)
from tests.helpers.served_inputs import int_seeds, some_images, upper_half_known

IMAGES, MASK, SEEDS = some_images(2), upper_half_known(2), int_seeds(5, 2**61 + 5)


def answers(name, *inputs):
    """A method's outputs as arrays."""
    functions = known_functions(tf.Variable(0.5))
    outputs = getattr(functions, name)(*(tf.constant(array) for array in inputs))
    return {key: value.numpy() for key, value in outputs.items()}


def test_every_method_returns_its_outputs_by_name():
    images = 4 * IMAGES - 1
    energy = answers("energy", images)["energy"]
    np.testing.assert_allclose(energy, known_energy(images), rtol=energy_tolerance())
    np.testing.assert_array_equal(answers("score", images)["score"], -images)
    np.testing.assert_array_equal(answers("denoise", images)["images"], images / 2)
    levels = answers("noise_level", images)["noise_level"]
    np.testing.assert_allclose(levels, known_noise_level(images), rtol=energy_tolerance())


def test_samples_are_clipped_before_their_energies_are_computed():
    sampled = answers("sample", SEEDS)
    np.testing.assert_array_equal(sampled["images"], spelled(SEEDS))
    np.testing.assert_array_equal(sampled["energy"], known_energy(spelled(SEEDS)))
    filled = answers("inpaint", IMAGES, MASK, SEEDS)["images"]
    np.testing.assert_array_equal(filled[:, :4], IMAGES[:, :4])
    np.testing.assert_array_equal(filled[:, 4:], spelled(SEEDS)[:, 4:])
