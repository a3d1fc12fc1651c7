"""Times functions in turns, so that other work on the machine slows all of them alike."""

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

__all__ = ["median_ratio", "time_in_turns"]

Name = TypeVar("Name", bound=Hashable)


def time_in_turns(
    jobs: Mapping[Name, Callable[[], object]], rounds: int
) -> dict[Name, list[float]]:
    """Seconds of each job in every round.

    In every round all jobs run once, in an order that rotates. One round before is not counted:
    jobs may compile in it.

    Args:
        jobs: functions by names; each returns when its work is done.
        rounds: rounds that count.
    """
    names = list(jobs)
    seconds: dict[Name, list[float]] = {name: [] for name in names}
    for number in range(1 + rounds if names else 0):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            begin = time.perf_counter()
            jobs[name]()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def median_ratio(seconds: Sequence[float], reference: Sequence[float]) -> float:
    """The median over the rounds of the ratios in each round."""
    return statistics.median(a / b for a, b in zip(seconds, reference, strict=True))
