"""Jobs that take turns, and ratios of their times."""

from benchmarks.cost.turns import median_ratio, time_in_turns


def test_time_in_turns():
    calls = []
    jobs = {name: lambda n=name: calls.append(n) for name in "abc"}
    seconds = time_in_turns(jobs, rounds=2)
    # The first round is not counted; the order rotates.
    assert "".join(calls) == "abc" + "bca" + "cab"
    assert {name: len(values) for name, values in seconds.items()} == dict.fromkeys("abc", 2)
    assert time_in_turns({}, rounds=2) == {}
    assert median_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == 2
