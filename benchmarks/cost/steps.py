"""Training and sampling steps beside PyTorch's and JAX's, and beside what the machine gives.

    python -m benchmarks.cost.steps --output=DIR [--cases=res12_16,…] [--peers=ours,pytorch,…]
        [--rounds=7] [--without=bfloat16]

Every peer (benchmarks/cost/peers) has the same network, loss, optimiser and batch, in each mode
that it offers, in a process of its own. In every round all take their turns, in an order that
rotates, so that a busy machine is busy for all; what is compared is the median of the rounds'
ratios to our float32 step. Two limits are taken in the same rounds: the rate of the fastest plain
convolution, and the time of the network's own convolutions without all else. Operations are those
that are executed: ours takes a convolution and the means of its pixels as one. `--without` leaves
out the modes that contain a text, as what this processor has no instructions for. Needs `pip
install -e '.[peers]'` for PyTorch and JAX; those that are missing or fail are said to. Writes
DIR/steps.{json,md}.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys

from benchmarks.cost.flops import GRADIENT_PASSES, TRAINING_PASSES, executed_flops, forward_flops
from benchmarks.cost.peers.case import CASES, Case, convolution_flops
from benchmarks.cost.peers.timing import Entrant, compete
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import atomic_write

# Modes of each peer; their modules are not imported here, as each wants a process of its own.
PEERS = {
    "ours": ("float32", "float32, untuned", "mixed_bfloat16", "float32, XLA"),
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


def ceiling(seconds: dict[str, list[float]]) -> float:
    """FLOP a second: the best convolution of each round, the median over the rounds."""
    rates = {
        job: [convolution_flops(job) / taken for taken in turns] for job, turns in seconds.items()
    }
    return statistics.median(max(turn) for turn in zip(*rates.values(), strict=True))


def measure(case: Case, peers: list[str], rounds: int, without: str = "") -> dict:
    """All peers at one case, less the modes that contain `without`."""
    wanted = [(peer, mode) for peer in peers for mode in PEERS[peer]]
    if without:
        wanted = [(peer, mode) for peer, mode in wanted if without not in mode]
    wanted += [("ceiling", "float32"), ("ceiling", "bfloat16")]
    entrants = [Entrant(peer, mode, case) for peer, mode in wanted]
    try:
        seconds = compete(entrants, rounds)
    finally:
        for entrant in entrants:
            entrant.end()
    defined, executed = flops_of(case)
    named = {entrant.name: seconds.get(entrant) for entrant in entrants}
    ceilings = {mode: ceiling(named["ceiling", mode]) for mode in ("float32", "bfloat16")}
    ours = named["ours", "float32"]
    rows = []
    for entrant in entrants:
        if entrant.name[0] == "ceiling":
            continue
        row = {"peer": entrant.name[0], "mode": entrant.name[1], "error": entrant.error}
        forward = executed if row["peer"] in ("ours", "convolutions") else defined
        if not entrant.error:
            row["peak_mib"] = entrant.peak_mib
            for job, passes in (("train", TRAINING_PASSES), ("langevin", GRADIENT_PASSES)):
                taken = seconds[entrant][job]
                row[job] = {
                    "seconds": statistics.median(taken),
                    "over_ours": statistics.median(
                        theirs / our for theirs, our in zip(taken, ours[job], strict=True)
                    ),
                    "flops": passes * forward * case.batch_size / statistics.median(taken),
                }
        rows.append(row)
    return {
        "case": dataclasses.asdict(case),
        "forward_flops": defined,
        "executed_flops": executed,
        "ceilings": ceilings,
        "rows": rows,
    }


def flops_of(case: Case) -> tuple[int, int]:
    """Of one image forward: as the network is defined, and as ours is executed."""
    from tf_mdsm.networks.build import build_network

    network = build_network(case.network, case.image_shape, case.channels)
    return forward_flops(network), executed_flops(network)


def table(report: dict[str, dict]) -> str:
    """Markdown."""
    lines = []
    for name, result in report.items():
        ceilings = {mode: rate / 1e9 for mode, rate in result["ceilings"].items()}
        lines += [
            f"{name}: {result['forward_flops'] / 1e6:.1f} MFLOP an image forward, "
            f"{result['executed_flops'] / 1e6:.1f} as ours computes it; ceiling "
            f"{ceilings['float32']:.0f} GFLOP/s float32, {ceilings['bfloat16']:.0f} bfloat16",
            "",
            "| peer | training step, ms | over ours | GFLOP/s | of the ceiling"
            " | Langevin step, ms | over ours | peak MiB |",
            "| --- " * 8 + "|",
        ]
        for row in result["rows"]:
            peer = {"jax_peer": "jax", "convolutions": "our convolutions alone"}
            label = f"{peer.get(row['peer'], row['peer'])}, {row['mode']}"
            if row["error"]:
                lines.append(f"| {label} | {row['error']} | | | | | | |")
                continue
            train, langevin = row["train"], row["langevin"]
            precision = "bfloat16" if "bfloat16" in row["mode"] else "float32"
            share = train["flops"] / result["ceilings"][precision]
            cells = (
                f"{1e3 * train['seconds']:.1f}",
                f"{train['over_ours']:.2f}",
                f"{train['flops'] / 1e9:.0f}",
                f"{100 * share:.0f} %",
                f"{1e3 * langevin['seconds']:.1f}",
                f"{langevin['over_ours']:.2f}",
                f"{row['peak_mib']:.0f}",
            )
            lines.append(f"| {label} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _chosen(value: str, known, flag: str) -> list[str]:
    names = value.split(",")
    for name in names:
        if name not in known:
            raise InvalidArgument(flag, f"name some of {', '.join(known)}", name)
    return names


def main(argv: list[str]) -> int:
    """Parses the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.steps")
    parser.add_argument("--output", required=True)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without", default="")
    options = parser.parse_args(argv[1:])
    try:
        cases = _chosen(options.cases, CASES, "--cases")
        peers = _chosen(options.peers, PEERS, "--peers")
        if "ours" not in peers:
            raise InvalidArgument(
                "--peers", "hold ours, which all are compared with", options.peers
            )
        if options.rounds < 1:
            raise InvalidArgument("--rounds", "be positive", options.rounds)
        if options.without and options.without in PEERS["ours"][0]:
            raise InvalidArgument("--without", "leave our float32 step", options.without)
    except InvalidArgument as error:
        print(f"steps: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.makedirs(options.output, exist_ok=True)
    report = {name: measure(CASES[name], peers, options.rounds, options.without) for name in cases}
    stem = os.path.join(options.output, "steps")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(table(report))
    print(table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
