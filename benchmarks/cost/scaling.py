"""Time and memory of a training step by batch size, width, image size and gradient accumulation.

    python -m benchmarks scaling --output=DIR [--network=res12] [--rounds=7] [--only=batch,…]

Duration: not recorded.

Writes: DIR/scaling.json after every round of a group, DIR/scaling.md at the end.

A group varies one size: `batch`, `channels` (width of the first layer), `side` (height and width of
the images) or `parts` (micro-batches of an update). Each value is trained in a process of its own,
and all values of a group take turns. Results are the time of an image, its ratio to the group's
first value, the ratio that the counted operations predict, and the peak memory of the process. An
unfinished DIR/scaling.json is continued with its next group.
"""

import dataclasses
import os
import statistics
from collections.abc import Iterator

from benchmarks.command import chosen_names, new_parser, require_positive, run_benchmark
from benchmarks.cost.flops import TRAINING_PASSES, case_flops
from benchmarks.cost.peers.case import Case
from benchmarks.cost.peers.timing import PeerProcess, Timings, peer_processes, time_in_rounds
from benchmarks.cost.turns import median_ratio
from benchmarks.results import Results, markdown_table
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.networks.architectures import RESNET_STAGES

__all__ = ["SIZES", "main", "measure", "table"]

_BASE = Case("res12", 16, (32, 32, 1), 64)
_LARGEST_BATCH = 256

# Groups to values, each with the fields of `_BASE` that it changes and the mode of peers/ours.py.
SIZES: dict[str, dict[int, tuple[dict[str, object], str]]] = {
    "batch": {n: ({"batch_size": n}, "float32") for n in (16, 32, 64, 128, _LARGEST_BATCH)},
    "channels": {n: ({"channels": n}, "float32") for n in (8, 16, 32, 64)},
    "side": {n: ({"image_shape": (n, n, 1)}, "float32") for n in (16, 32, 64)},
    "parts": {n: ({"batch_size": _LARGEST_BATCH}, f"float32, {n} parts") for n in (1, 2, 4, 8, 16)},
}


def measure(network: str, group: str, rounds: int) -> Iterator[dict]:
    """Times all values of a group; yields the result so far after every round.

    A value's result holds seconds and operations of an image in training, the ratio of its time to
    that of the first value, and peak memory; or the error.
    """
    values = list(SIZES[group])
    cases = [
        dataclasses.replace(_BASE, network=network, **fields) for fields, _ in SIZES[group].values()
    ]
    modes = [mode for _, mode in SIZES[group].values()]
    flops = [TRAINING_PASSES * case_flops(case)[1] for case in cases]
    wanted = [("ours", mode, case) for mode, case in zip(modes, cases, strict=True)]
    with peer_processes(wanted) as processes:
        for number, timings in enumerate(time_in_rounds(processes, rounds, ("train",)), 1):
            seconds = [
                _seconds_per_image(process, timings, case)
                for process, case in zip(processes, cases, strict=True)
            ]
            first = next((per_image for per_image in seconds if per_image), [])
            columns = zip(values, processes, seconds, flops, strict=True)
            yield {
                "rounds": number,
                "values": [
                    {group: value, "error": process.error}
                    if process.error
                    else {
                        group: value,
                        "seconds": statistics.median(per_image),
                        "flops": operations,
                        "over_first": median_ratio(per_image, first),
                        "peak_mib": process.peak_mib,
                    }
                    for value, process, per_image, operations in columns
                ],
            }


def _seconds_per_image(process: PeerProcess, timings: Timings, case: Case) -> list[float]:
    """Seconds of an image in every round; empty after a failure."""
    if process.error:
        return []
    return [seconds / case.batch_size for seconds in timings[process]["train"]]


def table(groups: dict[str, dict]) -> str:
    """Markdown: a table for each group."""
    tables = []
    for group, result in groups.items():
        first = next((row["flops"] for row in result["values"] if "flops" in row), None)
        heading = [group, "an image, ms", "over the first", "predicted by operations"]
        rows = [[*heading, "GFLOP/s", "peak MiB"]]
        for row in result["values"]:
            if "error" in row:
                rows.append([str(row[group]), row["error"], *[""] * 4])
                continue
            rows.append(
                [
                    str(row[group]),
                    f"{1e3 * row['seconds']:.3f}",
                    f"{row['over_first']:.2f}",
                    f"{row['flops'] / first:.2f}",
                    f"{row['flops'] / row['seconds'] / 1e9:.0f}",
                    f"{row['peak_mib']:.0f}",
                ]
            )
        tables.append(markdown_table(rows))
    return "\n".join(tables)


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("scaling", __doc__)
    parser.add_argument("--output", required=True, help="folder of the results")
    parser.add_argument("--network", default="res12", help=f"one of {', '.join(RESNET_STAGES)}")
    parser.add_argument("--only", help=f"groups separated by commas, among {', '.join(SIZES)}")
    parser.add_argument("--rounds", type=int, default=7, help="how often each step is timed")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        if options.network not in RESNET_STAGES:
            raise InvalidArgument(
                "--network", f"be one of {', '.join(RESNET_STAGES)}", options.network
            )
        groups = chosen_names("--only", options.only, list(SIZES))
        require_positive("--rounds", options.rounds)
        settings = {"network": options.network, "groups": groups, "rounds": options.rounds}
        with Results(os.path.join(options.output, "scaling.json"), settings) as results:
            for group in groups:
                if results.rows.get(group, {}).get("rounds") == options.rounds:
                    continue
                for row in measure(options.network, group, options.rounds):
                    results.add(group, row)
            results.write_table(table(results.finish(groups)["rows"]))

    return run_benchmark("scaling", benchmark)
