"""Initial weights of the accelerator's programs: made by NumPy from a description."""

import json

import numpy as np
import pytest

from benchmarks.accelerator.initial_state import describe_fill, fill, fill_all

UNIFORM = np.random.default_rng(0).uniform(-0.1, 0.1, (50, 40)).astype(np.float32)


def test_uniform_weights_keep_shape_range_and_dtype():
    description = json.loads(json.dumps(describe_fill("kernel", UNIFORM, 100, index=3)))
    values = fill(description, seed=0)
    assert (values.shape, values.dtype) == (UNIFORM.shape, UNIFORM.dtype)
    assert np.abs(values).max() <= 0.1
    # The standard deviation of a uniform number in ±0.1, whose estimate from n has a relative
    # error of sqrt(0.2 / n).
    n = values.size
    assert values.std() == pytest.approx(0.1 / 3**0.5, rel=5 * (0.2 / n) ** 0.5)
    assert abs(values.mean()) < 5 * 0.1 / 3**0.5 / n**0.5


def test_weights_differ_by_index_and_seed_and_are_the_same_otherwise():
    one, other = (describe_fill("kernel", UNIFORM, 100, index=index) for index in (3, 4))
    np.testing.assert_array_equal(fill(one, 0), fill(one, 0))
    for different in (fill(other, 0), fill(one, 1)):
        assert np.abs(fill(one, 0) - different).max() > 0.01


def test_equal_numbers_and_a_few_others_are_kept():
    ones, three = np.ones((4, 2), np.float32), np.array([1, 2, 3], np.int64)
    for values in (ones, three, np.float32(0.25)):
        values = np.asarray(values)
        kept = fill(describe_fill("name", values, None, index=0), seed=0)
        np.testing.assert_array_equal(kept, values)
        assert kept.dtype == values.dtype


def test_many_numbers_without_a_rule_are_refused():
    with pytest.raises(ValueError, match="kernel: no rule"):
        describe_fill("kernel", UNIFORM, None, index=0)
    with pytest.raises(ValueError, match="kernel: no rule"):
        describe_fill("kernel", UNIFORM, 101, index=0)


def test_averaged_weights_begin_as_the_weights():
    weight = describe_fill("network/kernel", UNIFORM, 100, index=0)
    state = fill_all([weight, {"name": "ema/kernel", "same_as": "network/kernel"}])
    np.testing.assert_array_equal(state["ema/kernel"], state["network/kernel"])
