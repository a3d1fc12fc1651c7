"""Training for equal time: the number of steps."""

import pytest

from benchmarks.quality.equal_time_training import steps_in


@pytest.mark.parametrize(
    ("minutes", "seconds", "steps"),
    [(30, 0.13, 13_800), (1, 0.25, 240), (0.001, 5.0, 1), (10, 0.0577, 10_300)],
)
def test_steps_that_fill_the_time(minutes, seconds, steps):
    assert steps_in(minutes, seconds) == steps
