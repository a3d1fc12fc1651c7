"""Targets of any size for images of one size."""

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.targets import FunctionTarget
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.chain import compile_chain
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.sampling import sample
from tf_mdsm.samplers.sized import SizedTarget, sized
from tf_mdsm.samplers.starts import GaussianStart

MEAN, VARIANCE = 0.3, 0.04


def gaussian(x):
    return tf.reduce_sum((x - MEAN) ** 2, (1, 2, 3)) / (2 * VARIANCE), (MEAN - x) / VARIANCE


FREE = FunctionTarget(gaussian, (None, None, 2), sigma0=0.1)
FIXED = FunctionTarget(gaussian, (5, 7, 2), sigma0=0.1)
METHOD = Heun([1.0, 0.3, 0.1])


@pytest.mark.parametrize("size", [(5, 7), [5, 7], np.array([5, 7])])
def test_samples_are_those_of_a_target_of_this_size(size):
    samples = sample(FREE, METHOD, seeds=[3, 4], image_size=size)
    np.testing.assert_array_equal(samples, sample(FIXED, METHOD, seeds=[3, 4]))
    assert samples.shape == (2, 5, 7, 2)


def test_one_number_is_both_sides():
    assert sized(FREE, 6).image_shape == (6, 6, 2)


def test_a_target_of_one_size_stays_itself():
    assert sized(FIXED, None) is FIXED
    assert sized(FIXED, (5, 7)) is FIXED


def test_what_a_sized_target_says():
    target = sized(FREE, (5, 7))
    assert target == SizedTarget(FREE, (5, 7, 2))
    assert hash(target) == hash(sized(FREE, (5, 7)))
    assert (target.sigma0, target.noise) == (0.1, None)


@pytest.mark.parametrize(
    ("target", "size", "message"),
    [
        (FREE, None, "`image_size` must be given"),
        (FREE, 0, "whole number of at least 1"),
        (FREE, (5, -1), "whole number of at least 1"),
        (FREE, (5, 7, 2), "whole number of at least 1"),
        (FREE, 5.0, "whole number of at least 1"),
        (FIXED, 5, "be 5 x 7, the size of the target's images. Received: 5 x 5"),
    ],
)
def test_refusals(target, size, message):
    with pytest.raises(InvalidArgument, match=message):
        sample(target, METHOD, seeds=[0], image_size=size)


def test_a_chain_without_a_size_is_refused():
    with pytest.raises(InvalidArgument, match="`image_size` must be given"):
        compile_chain(FREE, METHOD)


def test_a_start_of_another_size_is_refused():
    start = GaussianStart(np.zeros((4, 4, 2)), np.zeros((0, 4, 4, 2)), [], 0.0, 1.0)
    with pytest.raises(InvalidArgument, match="`mean` must be of the target's images"):
        sample(FREE, AncestralEuler([1.0, 0.1], start=start), seeds=[0], image_size=6)
