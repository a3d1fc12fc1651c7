"""Peers in processes of their own that take turns."""

import dataclasses
import json
import subprocess
import sys

from benchmarks.cost.peers.case import CONVOLUTIONS, Case

__all__ = ["Entrant", "compete"]

# A turn takes about so long.
_TURN_SECONDS = 1.0


class Entrant:
    """A peer's process."""

    def __init__(self, peer: str, mode: str, case: Case):
        self.name, self.peak_mib = (peer, mode), 0.0
        self._steps: dict[str, int] = {}
        command = [sys.executable, "-m", "benchmarks.cost.peers.worker", peer, mode]
        command.append(json.dumps(dataclasses.asdict(case)))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.error = self._read().get("error")

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": "its process ended"}

    def take_turn(self, job: str) -> float | None:
        """Seconds a step; None once it has failed."""
        if self.error:
            return None
        steps = self._steps.get(job, 1)
        try:
            print(job, steps, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            self.error = "its process ended"
            return None
        answer = self._read()
        if "error" in answer:
            self.error = answer["error"]
            return None
        self.peak_mib = max(self.peak_mib, answer["peak_mib"])
        return answer["seconds"] / steps

    def settle(self, job: str) -> None:
        """Compiles, and finds how many steps make a turn."""
        for _ in range(2):
            seconds = self.take_turn(job)
        if seconds is not None:
            self._steps[job] = max(1, round(_TURN_SECONDS / max(seconds, 1e-4)))

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


def compete(
    entrants: list[Entrant], rounds: int, jobs: tuple[str, ...] = ("train", "langevin")
) -> dict[Entrant, dict[str, list[float]]]:
    """Each job's seconds of a step in every round, of the peers that did not fail.

    In every round all take their turns, in an order that rotates: a busy machine is busy for all.
    """
    turns: dict[tuple[Entrant, str], list] = {}
    for entrant in entrants:
        for job in CONVOLUTIONS if entrant.name[0] == "ceiling" else jobs:
            entrant.settle(job)
            turns[entrant, job] = []
    keys = list(turns)
    for number in range(rounds):
        start = number % len(keys)
        for entrant, job in keys[start:] + keys[:start]:
            turns[entrant, job].append(entrant.take_turn(job))
    found: dict[Entrant, dict[str, list[float]]] = {}
    for (entrant, job), seconds in turns.items():
        if not entrant.error:
            found.setdefault(entrant, {})[job] = seconds
    return found
