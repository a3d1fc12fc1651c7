"""Property tests of schedules and noise levels, over the whole range of their settings."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tf_mdsm import losses
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.samplers.schedules import (
    annealing_temperatures,
    falling_sigmas,
    growing_step_sizes,
    require_schedule,
)

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
def test_step_sizes_grow_from_the_first_towards_one(h0, max_steps):
    steps = growing_step_sizes(h0, max_steps)
    assert steps.shape == (max_steps,)
    assert steps[0] == np.float32(h0)
    assert (np.diff(steps) >= 0).all()
    assert steps[-1] <= 1


@settings(max_examples=200, deadline=None)
@given(
    ends=st.tuples(levels, levels),
    num_levels=st.integers(2, 400),
    spacing=st.sampled_from(["linear", "geometric", "log_normal"]),
    position=st.floats(0, 1),
    log_std=st.floats(1e-3, 100),
    weighting=st.sampled_from(["inverse_square", "constant", "edm", "score"]),
)
def test_training_noise_levels_are_finite_and_in_range(
    ends, num_levels, spacing, position, log_std, weighting
):
    low, high = sorted(ends)
    assume(high > 1.001 * low)
    median = low ** (1 - position) * high**position
    noise = NoiseLevels(
        low,
        high,
        num_levels,
        spacing,
        weighting=weighting,
        median=min(max(median, low), high),
        log_std=log_std,
    )
    sigmas = noise.sigmas
    assert sigmas.shape == (num_levels,)
    assert np.isfinite(sigmas).all()
    assert sigmas.min() >= low * (1 - 1e-5)
    assert sigmas.max() <= high * (1 + 1e-5)
    assert (np.diff(sigmas) >= -1e-6 * sigmas[1:]).all()
    variance = losses.kernel_variances(sigmas, weighting, noise.sigma0)
    weight = losses.loss_weights(sigmas, weighting, noise.sigma_data)
    for values in (variance, weight):
        assert np.isfinite(values).all()
        assert (np.asarray(values) > 0).all()


@settings(deadline=None)
@given(values=st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=5))
def test_schedules_that_are_not_finite_numbers_are_refused(values):
    if values and np.isfinite(values).all():
        require_schedule("x", np.array(values), "be anything", lambda _: True)
        return
    with pytest.raises(InvalidArgument, match="`x` must be finite numbers, one for each step"):
        require_schedule("x", np.array(values), "be anything", lambda _: True)
