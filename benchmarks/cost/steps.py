"""Time of a training step and of a Langevin step, compared with PyTorch, JAX and the hardware.

    python -m benchmarks steps --output=DIR [--cases=res12_16,…] [--peers=ours,pytorch,…]
        [--rounds=7] [--without=bfloat16]

Duration: not recorded; one case with all peers and 7 rounds takes several minutes.

Writes: DIR/steps.json after every round of a case, DIR/steps.md at the end.

Every peer (benchmarks/cost/peers) has the same network, loss, optimizer and batch, in each mode
that it offers, in a process of its own. In every round all peers run, in an order that rotates, so
that other work on the machine slows all of them alike. Compared are medians over the rounds of the
ratio to tf_mdsm's float32 step ("ours").

Two limits are measured in the same rounds: the rate of the fastest plain convolution (the ceiling),
and the time of the network's own convolutions without everything else. Operations are those that
are executed: ours executes fewer than the network's definition, as it fuses convolutions with
averaging.

`--without` leaves out the modes whose names contain a text, for example bfloat16 on a processor
without instructions for it. PyTorch and JAX need `pip install -e '.[peers]'`; the results say which
peers are missing or failed. An unfinished DIR/steps.json is continued with its next case.
"""

import dataclasses
import os
import statistics
from collections.abc import Iterator

from benchmarks.command import chosen_names, new_parser, require_positive, run_benchmark
from benchmarks.cost.flops import GRADIENT_PASSES, TRAINING_PASSES, case_flops
from benchmarks.cost.peers.case import CASES, Case, convolution_flops
from benchmarks.cost.peers.timing import PeerProcess, Timings, peer_processes, time_in_rounds
from benchmarks.cost.turns import median_ratio
from benchmarks.results import Results, markdown_table
from tf_mdsm.errors import InvalidArgument, RunError

__all__ = ["PEERS", "ceiling", "main", "measure", "table"]

# Modes of each peer. The peers' modules are not imported here: each needs a process of its own.
PEERS = {
    "ours": (
        "float32",
        "float32, cores together",
        "float32, untuned",
        "mixed_bfloat16",
        "float32, XLA",
    ),
    "pytorch": (
        "eager",
        "eager, channels last",
        "compiled",
        "compiled, channels last",
        "eager, channels last, memory kept",
    ),
    "jax_peer": ("jit",),
    "convolutions": ("float32", "bfloat16"),
}

# Jobs of a peer, and what each costs in forward passes.
_JOBS = {"train": TRAINING_PASSES, "langevin": GRADIENT_PASSES}

_CEILING_MODES = ("float32", "bfloat16")

_HEADING = (
    *("peer", "training step, ms", "over ours", "GFLOP/s", "of the ceiling"),
    *("Langevin step, ms", "over ours", "peak MiB"),
)

_SHOWN_NAMES = {"jax_peer": "jax", "convolutions": "our convolutions alone"}


def ceiling(seconds: dict[str, list[float]]) -> float:
    """The rate of the fastest convolution of each round, in operations a second; the median.

    Args:
        seconds: names of plain convolutions to seconds in each round.
    """
    rates = [
        [convolution_flops(name) / value for value in values] for name, values in seconds.items()
    ]
    return statistics.median(max(rates_of_round) for rates_of_round in zip(*rates, strict=True))


def measure(case: Case, peers: list[str], rounds: int, without: str = "") -> Iterator[dict]:
    """Times all peers at one case; yields the result so far after every round.

    Args:
        case: network and batch.
        peers: names in `PEERS`, `ours` among them.
        rounds: number of rounds.
        without: modes that contain this text are left out.

    Raises:
        RunError: if tf_mdsm's float32 step or a plain convolution fails.
    """
    modes = [(peer, mode) for peer in peers for mode in PEERS[peer]]
    if without:
        modes = [(peer, mode) for peer, mode in modes if without not in mode]
    modes += [("ceiling", mode) for mode in _CEILING_MODES]
    defined, executed = case_flops(case)
    with peer_processes([(peer, mode, case) for peer, mode in modes]) as processes:
        named = {process.name: process for process in processes}
        flops_of = {
            process: executed if process.name[0] in ("ours", "convolutions") else defined
            for process in processes
        }
        for number, timings in enumerate(time_in_rounds(processes, rounds, tuple(_JOBS)), 1):
            rates = {
                mode: ceiling(_require_timed(timings, named["ceiling", mode]))
                for mode in _CEILING_MODES
            }
            ours = _require_timed(timings, named["ours", "float32"])
            yield {
                "case": dataclasses.asdict(case),
                "rounds": number,
                "forward_flops": defined,
                "executed_flops": executed,
                "ceilings": rates,
                "peers": [
                    _peer_row(process, timings, ours, case.batch_size * flops_of[process])
                    for process in processes
                    if process.name[0] != "ceiling"
                ],
            }


def _require_timed(timings: Timings, process: PeerProcess) -> dict[str, list[float]]:
    if process.error:
        raise RunError(f"{', '.join(process.name)}: {process.error}")
    return timings[process]


def _peer_row(
    process: PeerProcess, timings: Timings, ours: dict[str, list[float]], forward_flops: int
) -> dict:
    """Seconds, ratio to our float32 step, and rate of each job of a peer; or its error.

    Args:
        process: the peer.
        timings: of all peers.
        ours: seconds of our float32 steps.
        forward_flops: operations of a forward pass of a batch, as the peer executes it.
    """
    peer, mode = process.name
    row = {"peer": peer, "mode": mode, "error": process.error}
    if process.error:
        return row
    row["peak_mib"] = process.peak_mib
    for job, passes in _JOBS.items():
        seconds = timings[process][job]
        row[job] = {
            "seconds": statistics.median(seconds),
            "over_ours": median_ratio(seconds, ours[job]),
            "flops": passes * forward_flops / statistics.median(seconds),
        }
    return row


def table(cases: dict[str, dict]) -> str:
    """Markdown: for each case a line about its network and the ceilings, and a table of peers."""
    parts = []
    for name, result in cases.items():
        gflops = {mode: rate / 1e9 for mode, rate in result["ceilings"].items()}
        heading = (
            f"{name}: {result['forward_flops'] / 1e6:.1f} MFLOP an image forward, "
            f"{result['executed_flops'] / 1e6:.1f} as ours computes it; ceiling "
            f"{gflops['float32']:.0f} GFLOP/s float32, {gflops['bfloat16']:.0f} bfloat16; "
            f"{result['rounds']} rounds"
        )
        rows = [
            _HEADING,
            *(_peer_cells(row, result["ceilings"]) for row in result["peers"]),
        ]
        parts += [heading, "", markdown_table(rows)]
    return "\n".join(parts)


def _peer_cells(row: dict, ceilings: dict[str, float]) -> list[str]:
    label = f"{_SHOWN_NAMES.get(row['peer'], row['peer'])}, {row['mode']}"
    if row["error"]:
        return [label, row["error"], *[""] * 6]
    train, langevin = row["train"], row["langevin"]
    precision = "bfloat16" if "bfloat16" in row["mode"] else "float32"
    return [
        label,
        f"{1e3 * train['seconds']:.1f}",
        f"{train['over_ours']:.2f}",
        f"{train['flops'] / 1e9:.0f}",
        f"{100 * train['flops'] / ceilings[precision]:.0f} %",
        f"{1e3 * langevin['seconds']:.1f}",
        f"{langevin['over_ours']:.2f}",
        f"{row['peak_mib']:.0f}",
    ]


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("steps", __doc__)
    parser.add_argument("--output", required=True, help="folder of the results")
    parser.add_argument("--cases", help=f"names separated by commas, among {', '.join(CASES)}")
    parser.add_argument("--peers", help=f"names separated by commas, among {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=7, help="how often each step is timed")
    parser.add_argument("--without", default="", help="leave out modes that contain this text")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        cases = chosen_names("--cases", options.cases, list(CASES))
        peers = chosen_names("--peers", options.peers, list(PEERS))
        if "ours" not in peers:
            hold_ours = "hold ours, which all others are compared with"
            raise InvalidArgument("--peers", hold_ours, options.peers)
        require_positive("--rounds", options.rounds)
        if options.without and options.without in PEERS["ours"][0]:
            raise InvalidArgument("--without", "leave our float32 step", options.without)
        settings = {
            "cases": cases,
            "peers": peers,
            "rounds": options.rounds,
            "without": options.without,
        }
        with Results(os.path.join(options.output, "steps.json"), settings) as results:
            for name in cases:
                if results.rows.get(name, {}).get("rounds") == options.rounds:
                    continue
                for row in measure(CASES[name], peers, options.rounds, options.without):
                    results.add(name, row)
            results.write_table(table(results.finish(cases)["rows"]))

    return run_benchmark("steps", benchmark)
