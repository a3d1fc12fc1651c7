"""Schedules of temperatures, noise levels and step sizes against their equations."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.samplers.schedules import (
    annealing_temperatures,
    checked_schedule,
    falling_sigmas,
    growing_step_sizes,
    temperatures_of,
)


def test_noise_levels_fall_from_the_largest_to_the_smallest():
    sigmas = falling_sigmas(3.0, 0.1, 10)
    assert sigmas[0] == np.float32(3.0)
    assert sigmas[-1] == np.float32(0.1)
    assert (np.diff(sigmas) < 0).all()
    roots = sigmas.astype(float) ** (1 / 7)
    np.testing.assert_allclose(np.diff(roots), np.diff(roots)[0], rtol=1e-4)
    np.testing.assert_allclose(falling_sigmas(3.0, 1.0, 5, rho=1.0), [3, 2.5, 2, 1.5, 1])


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("sigma_min", (1.0, 1.0, 5)),
        ("sigma_min", (1.0, 0.0, 5)),
        ("sigma_min", (1.0, "0.1", 5)),
        ("sigma_max", (np.inf, 0.1, 5)),
        ("sigma_max", (np.nan, 0.1, 5)),
        ("sigma_max", (None, 0.1, 5)),
        ("num_levels", (1.0, 0.1, 1)),
        ("num_levels", (1.0, 0.1, 4.0)),
        ("rho", (1.0, 0.1, 5, 0.0)),
        ("rho", (1.0, 0.1, 5, np.inf)),
    ],
)
def test_noise_levels_that_do_not_fall_are_refused(field, wrong):
    with pytest.raises(InvalidArgument, match=f"`{field}` must"):
        falling_sigmas(*wrong)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: growing_step_sizes(h0=0.0), "h0"),
        (lambda: growing_step_sizes(h0=1.1), "h0"),
        (lambda: growing_step_sizes(max_steps=0), "max_steps"),
        (lambda: growing_step_sizes(max_steps=2.5), "max_steps"),
        (lambda: temperatures_of([1.0], sigma0=0.0), "sigma0"),
        (lambda: temperatures_of([np.nan], sigma0=0.1), "sigmas"),
    ],
)
def test_step_sizes_and_temperatures_of_wrong_numbers_are_refused(make, field):
    with pytest.raises(InvalidArgument, match=f"`{field}` must"):
        make()


def test_step_sizes_grow_from_the_first_towards_one():
    sizes = growing_step_sizes(0.01, 10_000)
    assert sizes[0] == np.float32(0.01)
    np.testing.assert_allclose(sizes[99], 1 / 1.99, rtol=1e-6)
    assert (np.diff(sizes) > 0).all()
    assert 0.99 < sizes[-1] < 1
    np.testing.assert_array_equal(growing_step_sizes(1.0, 5), 1)


def test_a_temperature_is_the_square_of_the_noise_level_in_units_of_sigma0():
    np.testing.assert_allclose(temperatures_of([1.0, 0.2, 0.1], sigma0=0.1), [100, 4, 1], rtol=1e-6)
    assert temperatures_of([1.0], sigma0=0.1).dtype == np.float32


def test_the_papers_temperatures():
    for cooling, middle in (("exponential", 10.0), ("linear", 50.5)):
        temperatures = annealing_temperatures(cooling=cooling)
        assert len(temperatures) == 2_700
        assert (temperatures[:501] == 100).all()
        assert temperatures[1_500] == pytest.approx(middle, rel=1e-5)
        assert temperatures[2_500] == 1
        assert temperatures[-1] == 0
        assert (np.diff(temperatures) <= 0).all()
    fall = annealing_temperatures()[500:2_500]
    expected = 100 * np.exp(-np.arange(2_000) * np.log(100) / 2_000)
    np.testing.assert_allclose(fall, expected, rtol=1e-6)
    np.testing.assert_allclose(np.diff(annealing_temperatures()[2_500:]), -1 / 199, rtol=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cooling": "sudden"},
        {"hot_steps": 0, "cooling_steps": 0, "final_steps": 0},
        {"hot_steps": -1},
        {"cooling_steps": 2.5},
        {"final_steps": "200"},
        {"initial": 0.5},
        {"initial": np.inf},
    ],
)
def test_wrong_schedules_are_refused(wrong):
    field = next(iter(wrong))
    with pytest.raises(InvalidArgument, match=f"`{field}` must"):
        annealing_temperatures(**wrong)


levels = st.floats(1e-4, 1e3, allow_subnormal=False)


@settings(deadline=None)
@given(
    initial=st.floats(1, 1e12),
    steps=st.tuples(*[st.integers(0, 300)] * 3),
    cooling=st.sampled_from(["exponential", "linear"]),
)
def test_temperatures_never_rise_and_end_at_zero(initial, steps, cooling):
    assume(sum(steps))
    temperatures = annealing_temperatures(initial, *steps, cooling)
    assert temperatures.shape == (sum(steps),)
    assert np.isfinite(temperatures).all()
    assert (np.diff(temperatures) <= 0).all()
    assert temperatures.max() <= np.float32(initial) * (1 + 1e-6)
    hot, _, final = steps
    np.testing.assert_array_equal(temperatures[:hot], np.float32(initial))
    if final > 1:
        assert temperatures[-1] == 0


@settings(deadline=None)
@given(ends=st.tuples(levels, levels), num_levels=st.integers(2, 500), rho=st.floats(1, 100))
def test_sampler_noise_levels_fall_from_the_first_to_the_last(ends, num_levels, rho):
    low, high = sorted(ends)
    assume(low < high)
    sigmas = falling_sigmas(high, low, num_levels, rho)
    assert sigmas.shape == (num_levels,)
    assert sigmas[0] == np.float32(high)
    assert sigmas[-1] == np.float32(low)
    # Rounding may exchange two neighboring levels, but only by the distance of two floats.
    assert (np.diff(sigmas) <= np.spacing(sigmas[:-1])).all()


@settings(deadline=None)
@given(h0=st.floats(1e-6, 1), max_steps=st.integers(1, 5_000))
def test_all_step_sizes_grow_from_the_first_towards_one(h0, max_steps):
    steps = growing_step_sizes(h0, max_steps)
    assert steps.shape == (max_steps,)
    assert steps[0] == np.float32(h0)
    assert (np.diff(steps) >= 0).all()
    assert steps[-1] <= 1


@settings(deadline=None)
@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=5))
def test_schedules_that_are_not_finite_numbers_are_refused(values):
    with np.errstate(over="ignore"):
        rounded = np.array(values).astype(np.float32)
    if values and np.isfinite(rounded).all():
        checked = checked_schedule("x", values, "be anything", lambda _: True)
        np.testing.assert_array_equal(checked, rounded)
        return
    with pytest.raises(InvalidArgument, match="`x` must be finite numbers, one for each step"):
        checked_schedule("x", np.array(values), "be anything", lambda _: True)
