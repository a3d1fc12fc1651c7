"""What a job finds, told as it goes: lines of JSON, and times as medians over turns."""

import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

__all__ = ["summary", "tell", "time_in_turns"]

# Turns of which a median is reported, and about how long a turn lasts.
_TURNS, _TURN_SECONDS = 7, 0.5


def tell(**facts: Any) -> None:
    """Prints a finding at once, as one line of JSON: a job that is stopped has told it."""
    print(json.dumps(facts), flush=True)


def time_in_turns(run: Callable[[int], None]) -> list[float]:
    """Seconds of one call in each of several turns, after a first turn that does not count.

    Args:
        run: calls what is timed so many times, and waits until the device has done it.
    """
    run(1)
    start = time.monotonic()
    run(1)
    calls = max(1, math.ceil(_TURN_SECONDS / (time.monotonic() - start)))
    seconds = []
    for _ in range(_TURNS):
        start = time.monotonic()
        run(calls)
        seconds.append((time.monotonic() - start) / calls)
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, smallest and largest time in milliseconds."""
    return {
        "milliseconds": 1e3 * statistics.median(seconds),
        "fastest": 1e3 * min(seconds),
        "slowest": 1e3 * max(seconds),
    }
