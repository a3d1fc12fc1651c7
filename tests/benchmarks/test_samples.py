"""Samples for benchmarks: gradient evaluations of each image."""

import numpy as np

from benchmarks.samples import gradient_evaluations


def test_gradient_evaluations_of_images_that_converge_early():
    energies = np.array([[5.0, 5.0], [4.0, 5.0], [3.0, 5.0], [3.0, 5.0]])
    np.testing.assert_array_equal(gradient_evaluations(energies, 9, "coarse_to_fine"), [4, 2])
    np.testing.assert_array_equal(gradient_evaluations(energies, 9, "heun"), [9, 9])
