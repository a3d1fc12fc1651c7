"""Numbers that identify large arrays."""

import numpy as np
import pytest

from benchmarks.accelerator.projections import projections

ARRAY = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32)


def test_the_same_array_has_the_same_numbers():
    one, other = projections({"a": ARRAY})["a"], projections({"a": ARRAY.copy()})["a"]
    np.testing.assert_array_equal(one, other)
    assert one[0] == pytest.approx(np.linalg.norm(ARRAY), rel=1e-6)


@pytest.mark.parametrize(
    "changed", [-ARRAY, ARRAY[::-1], ARRAY.T.reshape(ARRAY.shape), 1.01 * ARRAY]
)
def test_another_array_has_other_numbers(changed):
    numbers, others = projections({"a": ARRAY})["a"], projections({"a": changed})["a"]
    assert np.abs(numbers - others).max() > 1e-3 * numbers[0]


def test_a_small_error_shows_at_its_size():
    """The products with a random direction have a standard deviation of the error's norm."""
    error = 1e-3 * np.random.default_rng(1).normal(size=ARRAY.shape)
    difference = projections({"a": ARRAY + error})["a"] - projections({"a": ARRAY})["a"]
    assert 0.05 < np.abs(difference[1:]).max() / np.linalg.norm(error) < 5
