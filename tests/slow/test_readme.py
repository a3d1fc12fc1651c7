"""The README's example with its own network, for fewer steps."""

from tests.helpers.readme import run_example


def test_the_example_runs():
    names = run_example(
        {
            "steps_per_epoch=1_000": "steps_per_epoch=5",
            "annealing_temperatures()": "annealing_temperatures(4.0, 2, 3, 2)",
        }
    )
    assert names["samples"].shape == (16, 8, 8, 1)
