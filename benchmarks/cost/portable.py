"""The StableHLO export beside the SavedModel: size, first call, time of a call, difference.

    python -m benchmarks portable --workdir=runs/digits [--repeats=9] [--output=FILE.json]

Duration: two to four minutes, most of them the export.

Writes: WORKDIR/portable.json, or FILE.json, and the same name with .md, a table.

Both exports are written into a temporary folder. Every signature answers the same request by both,
in turns: the SavedModel in TensorFlow, the StableHLO program by jaxlib, each on the processor with
all threads. The first call of a program compiles it. The difference is the largest one, relative
to the largest absolute value of the SavedModel's answer.
"""

import functools
import os
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.command import load_tensorflow, new_parser, require_positive, run_benchmark
from benchmarks.cost.turns import median_ratio, time_in_turns
from benchmarks.results import Results, markdown_table

__all__ = ["main", "measure", "table"]

_BATCH_SIZES = (1, 16)


def measure(results: Results, workdir: str, repeats: int) -> None:
    """Adds sizes and seconds of both exports, and a row for each signature and batch size."""
    import tensorflow as tf

    from tf_mdsm.runs.run import export, load
    from tf_mdsm.serving.example_requests import example_requests
    from tf_mdsm.serving.stablehlo_model import StableHloModel

    run = load(workdir)
    with tempfile.TemporaryDirectory() as folder:
        facts: dict[str, Any] = {"parameters": run.model.network.count_params()}
        for kind in ("saved_model", "stablehlo"):
            begin = time.perf_counter()
            path = os.path.join(folder, kind)
            export(run, path, format=kind, batch_sizes=_BATCH_SIZES)
            facts[kind] = {"seconds": time.perf_counter() - begin, "bytes": _size(path)}
        results.set_facts(**facts)
        signatures = tf.saved_model.load(os.path.join(folder, "saved_model")).signatures
        model = StableHloModel(os.path.join(folder, "stablehlo"))
        for size in _BATCH_SIZES:
            for name, inputs in example_requests(run.target.image_shape, size).items():
                program = os.path.join(folder, "stablehlo", f"{name}_{size}.stablehlo")
                row = _compare(signatures[name], model, name, inputs, repeats)
                results.add(f"{name}, {size}", {"bytes": os.path.getsize(program), **row})


def _compare(signature, model, name: str, inputs: Mapping[str, np.ndarray], repeats: int) -> dict:
    """Seconds of the first call and of later ones, and the largest relative difference."""
    import tensorflow as tf

    tensors = {key: tf.constant(array) for key, array in inputs.items()}

    def by_tensorflow():
        return {key: answer.numpy() for key, answer in signature(**tensors).items()}

    expected = by_tensorflow()
    shapes = {key: answer.shape[1:] for key, answer in expected.items()}
    by_jaxlib = functools.partial(model.run, name, inputs, shapes)
    begin = time.perf_counter()
    answers = by_jaxlib()
    first = time.perf_counter() - begin
    difference = max(
        float(np.abs(answers[key] - expected[key]).max() / np.abs(expected[key]).max())
        for key in expected
    )
    seconds = time_in_turns({"saved_model": by_tensorflow, "stablehlo": by_jaxlib}, repeats)
    ratio = median_ratio(seconds["stablehlo"], seconds["saved_model"])
    return {"first_call": first, "difference": difference, "seconds": seconds, "ratio": ratio}


def _size(folder: str) -> int:
    """Bytes of all files in a folder."""
    paths = (os.path.join(path, name) for path, _, names in os.walk(folder) for name in names)
    return sum(os.path.getsize(path) for path in paths)


def table(report: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    kinds = [["export", "MB", "seconds to write and compare"]]
    for kind in ("saved_model", "stablehlo"):
        facts = report[kind]
        kinds.append([kind, f"{facts['bytes'] / 1e6:.2f}", f"{facts['seconds']:.1f}"])
    rows = [
        ["signature, images", "program, kB", "first call, s", "a call, ms", "ratio", "difference"]
    ]
    for name, row in report["rows"].items():
        milliseconds = 1e3 * float(np.median(row["seconds"]["stablehlo"]))
        rows.append(
            [
                name,
                f"{row['bytes'] / 1e3:.0f}",
                f"{row['first_call']:.2f}",
                f"{milliseconds:.2f}",
                f"{row['ratio']:.2f}",
                f"{row['difference']:.1e}",
            ]
        )
    return f"{markdown_table(kinds)}\n{markdown_table(rows)}"


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = new_parser("portable", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a trained run")
    parser.add_argument("--repeats", type=int, default=9, help="calls of each kind")
    parser.add_argument("--output", help="file of the results")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        require_positive("--repeats", options.repeats)
        load_tensorflow()
        output = options.output or os.path.join(options.workdir, "portable.json")
        settings = {"workdir": options.workdir, "repeats": options.repeats}
        with Results(output, settings) as results:
            measure(results, options.workdir, options.repeats)
            results.write_table(table(results.finish()))

    return run_benchmark("portable", benchmark)
