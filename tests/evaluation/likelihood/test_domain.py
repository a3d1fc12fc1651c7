"""The box on which a density is normalized."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.domain import Domain


def test_an_image_lies_inside_with_all_of_its_pixels():
    """The walls belong to the domain."""
    domain = Domain(0.25)
    images = tf.constant([[-0.25, 1.25], [-0.26, 0.5], [0.5, 1.26], [np.nan, 0.5]])
    images = tf.reshape(images, [4, 1, 2, 1])
    assert (domain.low, domain.high) == (-0.25, 1.25)
    assert domain.contains(images).numpy().tolist() == [True, False, False, False]
    inside = domain.contains_pixels(images).numpy().reshape(4, 2).tolist()
    assert inside == [[True, True], [False, True], [True, False], [False, True]]


def test_the_distance_of_the_wall():
    """The nearest of the pixels' walls counts; a pixel that does not move has none."""
    images = np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 2.0]]).reshape(3, 1, 2, 1)
    directions = np.array([[1.0, -2.0], [0.0, 0.5], [-1.0, 0.0]]).reshape(3, 1, 2, 1)
    distances = Domain(1.0).exit_distances(images, directions)
    np.testing.assert_allclose(distances, [0.75, 3.0, 1.0])


@pytest.mark.parametrize("margin", [-0.1, np.inf, np.nan])
def test_a_margin_is_finite_and_not_negative(margin):
    with pytest.raises(InvalidArgument, match="`domain_margin` must be finite"):
        Domain(margin)
