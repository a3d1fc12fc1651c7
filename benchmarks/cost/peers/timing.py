"""Times peers in turns, each in a process of its own (worker.py)."""

import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

from benchmarks.cost.peers.case import CONVOLUTIONS, Case

__all__ = ["PeerProcess", "Timings", "peer_processes", "time_in_rounds"]

# A peer takes so many steps in a turn that the turn lasts about this long.
_TURN_SECONDS = 1.0


class PeerProcess:
    """A process that runs one peer's steps on request; started and ready once constructed.

    Attributes:
        name: the peer and its mode.
        peak_mib: the largest memory that the process has had so far.
        error: why it failed; None as long as it works.
    """

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
        try:
            self.error: str | None = self._read().get("error")
        except BaseException:
            self.stop()
            raise

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"error": "its process ended"}

    def seconds_per_step(self, job: str) -> float | None:
        """Runs a turn of a job, and returns the seconds of one step; None after a failure."""
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

    def calibrate(self, job: str) -> None:
        """Lets the peer compile a job, and finds how many steps make a turn."""
        self.seconds_per_step(job)
        seconds = self.seconds_per_step(job)
        if seconds is not None:
            self._steps[job] = max(1, round(_TURN_SECONDS / max(seconds, 1e-4)))

    def stop(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()


# Peers to jobs to the seconds of a step in each round.
Timings = dict[PeerProcess, dict[str, list[float]]]


@contextlib.contextmanager
def peer_processes(wanted: Sequence[tuple[str, str, Case]]) -> Iterator[list[PeerProcess]]:
    """Starts a process for each peer, mode and case, and ends them all after the block."""
    with contextlib.ExitStack() as stack:
        processes = []
        for peer, mode, case in wanted:
            process = PeerProcess(peer, mode, case)
            stack.callback(process.stop)
            processes.append(process)
        yield processes


def time_in_rounds(
    processes: Sequence[PeerProcess],
    rounds: int,
    jobs: Sequence[str] = ("train", "langevin"),
) -> Iterator[Timings]:
    """Times the jobs of all peers; yields the timings so far after each round.

    In every round all peers run their jobs, in an order that rotates: other work on the machine
    slows all of them alike. A peer that fails in any round is left out.

    Args:
        processes: the peers. One named "ceiling" runs the plain convolutions instead of `jobs`.
        rounds: number of rounds.
        jobs: names of a peer's jobs.
    """
    turns: dict[tuple[PeerProcess, str], list] = {}
    for process in processes:
        for job in CONVOLUTIONS if process.name[0] == "ceiling" else jobs:
            process.calibrate(job)
            turns[process, job] = []
    keys = list(turns)
    for number in range(rounds):
        first = number % len(keys)
        for process, job in keys[first:] + keys[:first]:
            turns[process, job].append(process.seconds_per_step(job))
        timings: Timings = {}
        for (process, job), seconds in turns.items():
            if not process.error:
                timings.setdefault(process, {})[job] = seconds
        yield timings
