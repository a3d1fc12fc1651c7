"""Peers timed in rounds: the order rotates, a turn has a length, failed peers are left out."""

import io
import json
import types

import pytest

from benchmarks.cost.peers import timing
from benchmarks.cost.peers.case import CASES, CONVOLUTIONS

CASE = CASES["res12_16"]


class StandInProcess:
    """A worker's process that gives prepared answers, and then has ended.

    Args:
        answers: what it writes to its standard output, line by line.
    """

    def __init__(self, answers: list[dict]):
        lines = "".join(f"{json.dumps(answer)}\n" for answer in answers)
        self.stdin, self.stdout = io.StringIO(), io.StringIO(lines)
        self.is_killed = False

    def kill(self) -> None:
        self.is_killed = True

    def communicate(self) -> None:
        pass


@pytest.fixture
def start(monkeypatch):
    """A function that makes all peers' processes stand-ins with these answers, and lists them."""

    def start(*answers: dict) -> list[StandInProcess]:
        made = []

        def stand_in(command, **_):
            assert json.loads(command[-1])["network"] == CASE.network
            made.append(StandInProcess(list(answers)))
            return made[-1]

        streams = {"PIPE": None, "DEVNULL": None}
        monkeypatch.setattr(timing, "subprocess", types.SimpleNamespace(Popen=stand_in, **streams))
        return made

    return start


def test_a_turn_takes_as_many_steps_as_fill_it(start, monkeypatch):
    """The second step, 0.02 s, tells how many fill 0.1 s: 5; the first one compiles."""
    monkeypatch.setattr(timing, "_TURN_SECONDS", 0.1)
    seconds = [{"seconds": s, "peak_mib": m} for s, m in ((9.0, 5), (0.02, 7), (0.2, 6))]
    made = start({"ready": True}, *seconds)
    peer = timing.PeerProcess("ours", "float32", CASE)
    peer.calibrate("train")
    assert peer.seconds_per_step("train") == pytest.approx(0.2 / 5)
    assert made[0].stdin.getvalue().splitlines() == ["train 1", "train 1", "train 5"]
    assert (peer.name, peer.peak_mib, peer.error) == (("ours", "float32"), 7, None)


def test_a_peer_that_fails_reports_its_error(start):
    start({"error": "ImportError: no"})
    peer = timing.PeerProcess("pytorch", "eager", CASE)
    peer.calibrate("train")
    assert (peer.error, peer.seconds_per_step("train")) == ("ImportError: no", None)
    assert list(timing.time_in_rounds([peer], 2)) == [{}, {}]


def test_a_peer_that_fails_later_reports_its_error(start):
    start({"ready": True}, {"error": "MemoryError"})
    peer = timing.PeerProcess("pytorch", "eager", CASE)
    assert (peer.seconds_per_step("train"), peer.error) == (None, "MemoryError")


def test_a_process_that_ends_is_an_error(start):
    start({"ready": True})
    peer = timing.PeerProcess("pytorch", "eager", CASE)
    assert (peer.seconds_per_step("train"), peer.error) == (None, "its process ended")


def test_an_interruption_ends_all_peers(start):
    made = start({"ready": True})

    def interrupted() -> None:
        with timing.peer_processes([("ours", "float32", CASE)] * 2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [process.is_killed for process in made] == [True, True]


class StandInPeer:
    """A peer that writes each of its turns into a list."""

    def __init__(self, name: str, turns: list[str]):
        self.name, self.error, self._turns = (name, "mode"), None, turns

    def calibrate(self, job: str) -> None:
        pass

    def seconds_per_step(self, job: str) -> float | None:
        self._turns.append(f"{self.name[0]} {job}")
        if self.name[0] == "failing" and len(self._turns) > 4:
            self.error = "failed in the second round"
        return None if self.error else float(len(self._turns))


def test_the_order_rotates_and_a_failed_peer_is_left_out():
    turns = []
    ours, failing = (StandInPeer(name, turns) for name in ("ours", "failing"))
    first, second = timing.time_in_rounds([ours, failing], 2, ("train", "langevin"))
    order = ["ours train", "ours langevin", "failing train", "failing langevin"]
    assert turns == [*order, *order[1:], order[0]]
    # Timings hold the lists themselves, to which later rounds add.
    assert first.keys() == {ours, failing}
    assert second == {ours: {"train": [1.0, 8.0], "langevin": [2.0, 5.0]}}


def test_the_ceiling_runs_the_plain_convolutions():
    turns = []
    list(timing.time_in_rounds([StandInPeer("ceiling", turns)], 1))
    assert turns == [f"ceiling {name}" for name in CONVOLUTIONS]
