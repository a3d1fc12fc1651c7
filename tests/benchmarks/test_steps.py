"""The benchmark `steps`: the ceiling, ratios and rates of peers, and the table of them."""

import contextlib
import dataclasses

import pytest

from benchmarks.cost import steps
from benchmarks.cost.peers import convolutions, ours
from benchmarks.cost.peers.case import CASES, CONVOLUTIONS, convolution_flops
from tf_mdsm.errors import RunError

CASE = CASES["res12_16"]
DEFINED, EXECUTED = 600e9, 400e9


@dataclasses.dataclass(eq=False)
class StandInPeer:
    """A peer without a process.

    Attributes:
        seconds: of each of its steps; None after a failure.
    """

    name: tuple[str, str]
    seconds: float | None
    peak_mib: float = 100.0

    @property
    def error(self) -> str | None:
        return None if self.seconds else "failed"


@pytest.fixture
def seconds(monkeypatch):
    """Seconds of a step by peers, which stand-ins take instead of the peers' processes."""
    seconds = {"ours": 2.0, "pytorch": 5.0, "jax_peer": None, "ceiling": 1.0}

    @contextlib.contextmanager
    def peers_of(wanted):
        yield [StandInPeer((peer, mode), seconds[peer]) for peer, mode, _ in wanted]

    def rounds_of(peers, rounds, jobs):
        for number in range(1, rounds + 1):
            yield {
                peer: dict.fromkeys(
                    CONVOLUTIONS if peer.name[0] == "ceiling" else jobs, [peer.seconds] * number
                )
                for peer in peers
                if not peer.error
            }

    monkeypatch.setattr(steps, "peer_processes", peers_of)
    monkeypatch.setattr(steps, "time_in_rounds", rounds_of)
    monkeypatch.setattr(steps, "case_flops", lambda _: (DEFINED, EXECUTED))
    monkeypatch.setattr(steps, "PEERS", {"ours": ("float32",), "pytorch": ("eager", "compiled")})
    steps.PEERS["jax_peer"] = ("jit",)
    return seconds


def test_listed_modes_are_those_of_the_peers():
    assert steps.PEERS["ours"] == ours.MODES
    assert steps.PEERS["convolutions"] == convolutions.MODES


def test_the_ceiling_is_the_median_of_each_rounds_fastest_convolution():
    first, *others = CONVOLUTIONS
    seconds = {name: [100.0] * 3 for name in others} | {first: [1.0, 2.0, 4.0]}
    assert steps.ceiling(seconds) == convolution_flops(first) / 2


def test_ratios_and_rates(seconds):
    """A training step costs six forward passes, a Langevin step two, of a batch."""
    first, result = steps.measure(CASE, ["ours", "pytorch", "jax_peer"], 2, without="compiled")
    assert (first["rounds"], result["rounds"]) == (1, 2)
    ours, pytorch, jax = result["peers"]
    assert jax == {"peer": "jax_peer", "mode": "jit", "error": "failed"}
    assert (pytorch["peer"], pytorch["mode"], pytorch["peak_mib"]) == ("pytorch", "eager", 100)
    # Ours executes fewer operations than the network's definition has.
    for job, passes in (("train", 6), ("langevin", 2)):
        rates = CASE.batch_size * passes * EXECUTED / 2, CASE.batch_size * passes * DEFINED / 5
        assert ours[job] == {"seconds": 2, "over_ours": 1, "flops": rates[0]}
        assert pytorch[job] == {"seconds": 5, "over_ours": 2.5, "flops": rates[1]}
    fastest = max(convolution_flops(name) for name in CONVOLUTIONS)
    assert result["ceilings"] == {"float32": fastest, "bfloat16": fastest}


def test_the_table(seconds):
    (result,) = steps.measure(CASE, ["ours", "pytorch", "jax_peer"], 1, without="compiled")
    result["ceilings"] = {"float32": 64 * 6 * EXECUTED, "bfloat16": 3e9}
    heading, _, _, _, *rows = steps.table({"tiny": result}).splitlines()
    assert heading.startswith("tiny: 600000.0 MFLOP an image forward, 400000.0 as ours")
    assert "ceiling 153600 GFLOP/s float32, 3 bfloat16; 1 rounds" in heading
    assert rows == [
        "| ours, float32 | 2000.0 | 1.00 | 76800 | 50 % | 2000.0 | 1.00 | 100 |",
        "| pytorch, eager | 5000.0 | 2.50 | 46080 | 30 % | 5000.0 | 2.50 | 100 |",
        "| jax, jit | failed |  |  |  |  |  |  |",
    ]


@pytest.mark.parametrize("needed", ["ours", "ceiling"])
def test_results_need_our_own_step_and_the_ceiling(needed, seconds):
    """The others are compared with them: a failure ends the case."""
    seconds[needed] = None
    with pytest.raises(RunError, match=f"{needed}, float32: failed"):
        list(steps.measure(CASE, ["ours", "pytorch"], rounds=1))
