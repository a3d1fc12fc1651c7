"""How time and memory of a training step grow with batch, width, image and parts of a batch.

    python -m benchmarks.cost.scaling --output=DIR [--network=res12] [--rounds=7] [--only=batch,…]

Each size below is trained in a process of its own, and all take turns. Shown for each are the
time of an image, over that of the first, what the counted operations let one expect of that, and
the memory that the process came to. Writes DIR/scaling.{json,md}.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys

from benchmarks.cost.flops import TRAINING_PASSES
from benchmarks.cost.peers.case import Case
from benchmarks.cost.peers.timing import Entrant, compete
from benchmarks.cost.steps import flops_of
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import STAGES
from tf_mdsm.system.atomic import atomic_write

_BASE = Case("res12", 16, (32, 32, 1), 64)
_LARGEST_BATCH = 256

# What grows: its values, each with what it changes of the base, and our mode.
SIZES: dict[str, dict[int, tuple[dict[str, object], str]]] = {
    "batch": {n: ({"batch_size": n}, "float32") for n in (16, 32, 64, 128, _LARGEST_BATCH)},
    "channels": {n: ({"channels": n}, "float32") for n in (8, 16, 32, 64)},
    "side": {n: ({"image_shape": (n, n, 1)}, "float32") for n in (16, 32, 64)},
    "parts": {n: ({"batch_size": _LARGEST_BATCH}, f"float32, {n} parts") for n in (1, 2, 4, 8, 16)},
}


def measure(network: str, what: str, rounds: int) -> list[dict]:
    """Rows of one size: value, seconds and operations of an image in training, peak memory."""
    runs = {}
    for value, (fields, mode) in SIZES[what].items():
        case = dataclasses.replace(_BASE, network=network, **fields)
        runs[value] = case, Entrant("ours", mode, case)
    try:
        turns = compete([entrant for _, entrant in runs.values()], rounds, ("train",))
    finally:
        for _, entrant in runs.values():
            entrant.end()
    rows: list[dict] = []
    first: list[float] = []
    for value, (case, entrant) in runs.items():
        if entrant.error:
            rows.append({what: value, "error": entrant.error})
            continue
        seconds = [taken / case.batch_size for taken in turns[entrant]["train"]]
        first = first or seconds
        ratios = [ours / theirs for ours, theirs in zip(seconds, first, strict=True)]
        rows.append(
            {
                what: value,
                "seconds": statistics.median(seconds),
                "flops": TRAINING_PASSES * flops_of(case)[1],
                "over_first": statistics.median(ratios),
                "peak_mib": entrant.peak_mib,
            }
        )
    return rows


def table(report: dict[str, list[dict]]) -> str:
    """Markdown."""
    lines = []
    for what, rows in report.items():
        lines += [
            f"| {what} | an image, ms | over the first | by its operations | GFLOP/s | peak MiB |",
            "| --- " * 6 + "|",
        ]
        first_flops = next((row["flops"] for row in rows if "flops" in row), None)
        for row in rows:
            if "error" in row:
                lines.append(f"| {row[what]} | {row['error']} | | | | |")
                continue
            cells = (
                str(row[what]),
                f"{1e3 * row['seconds']:.3f}",
                f"{row['over_first']:.2f}",
                f"{row['flops'] / first_flops:.2f}",
                f"{row['flops'] / row['seconds'] / 1e9:.0f}",
                f"{row['peak_mib']:.0f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Parses the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.scaling")
    parser.add_argument("--output", required=True)
    parser.add_argument("--network", default="res12")
    parser.add_argument("--only", default=",".join(SIZES))
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(argv[1:])
    try:
        if options.network not in STAGES:
            raise InvalidArgument("--network", f"be one of {', '.join(STAGES)}", options.network)
        sizes = options.only.split(",")
        for what in sizes:
            if what not in SIZES:
                raise InvalidArgument("--only", f"name some of {', '.join(SIZES)}", what)
        if options.rounds < 1:
            raise InvalidArgument("--rounds", "be positive", options.rounds)
    except InvalidArgument as error:
        print(f"scaling: {error}", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.makedirs(options.output, exist_ok=True)
    report = {what: measure(options.network, what, options.rounds) for what in sizes}
    stem = os.path.join(options.output, "scaling")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(table(report))
    print(table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
