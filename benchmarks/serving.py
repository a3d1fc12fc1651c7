"""What serving costs: latency of a served `sample` against the same chain in this process.

    python -m benchmarks.serving --workdir=runs/digits [--repeats=9] [--output=FILE.json]

Takes the run's newest export, starts a server of it (tests/model_server.py, in a process of its
own: Python round the same graph and session, not TensorFlow Serving's binary), and draws the same
seeds in turn by gRPC, by REST and by the sampler of --mode=sample, with the settings that the
export was made with. Every round takes all of them, in an order that rotates, so that a busy
machine is busy for all; what is compared is the median of the rounds' ratios. Writes
WORKDIR/serving_benchmark.json unless told otherwise.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError, ServingError, one_line
from tf_mdsm.files import written_whole
from tf_mdsm.quiet import quiet_stderr
from tf_mdsm.serving import Client

_BATCHES = (1, 8)
_SERVER = os.path.join(os.path.dirname(__file__), "..", "tests", "model_server.py")


def newest_export(workdir: str) -> str:
    """The folder `export/<version>` with the highest version."""
    folder = os.path.join(workdir, "export")
    versions = os.listdir(folder) if os.path.isdir(folder) else []
    versions = [int(name) for name in versions if name.isdecimal()]
    if not versions:
        raise InvalidArgument("--workdir", "hold an export (--mode=export makes one)", workdir)
    return os.path.join(folder, str(max(versions)))


def sampler_in_process(workdir: str, export: str) -> Callable[[np.ndarray], np.ndarray]:
    """From seeds to images, as --mode=sample draws them."""
    with quiet_stderr():
        import tensorflow as tf

    from tf_mdsm import build
    from tf_mdsm.checkpoints import restore_for_use
    from tf_mdsm.config import default_config
    from tf_mdsm.datasets.statistics import load_statistics
    from tf_mdsm.samplers.chains import compile_chain

    tf.config.experimental.enable_tensor_float_32_execution(False)
    config = default_config()
    with open(os.path.join(export, "assets.extra", "tf_mdsm.json"), encoding="utf-8") as file:
        config.update(json.load(file)["config"])
    model = build.build_model(config)
    sampler = build.build_sampler(config, model, load_statistics(build.statistics_path(workdir)))
    restore_for_use(os.path.join(workdir, "checkpoints"), model)
    draw = compile_chain(sampler, config.sampling.show_every)
    return lambda seeds: draw(seeds).images


def seconds(function: Callable[[np.ndarray], object], seeds: np.ndarray) -> float:
    """How long one call takes."""
    begin = time.perf_counter()
    function(seeds)
    return time.perf_counter() - begin


def interleaved(
    functions: dict[str, Callable[[np.ndarray], object]], seeds: np.ndarray, repeats: int
) -> dict[str, list[float]]:
    """Seconds of each function in each round, after one round that is not counted."""
    names = list(functions)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for number in range(repeats + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            one = seconds(functions[name], seeds)
            if number:
                taken[name].append(one)
    return taken


def measure(workdir: str, repeats: int) -> dict:
    """All numbers, as they are written to the file."""
    export = newest_export(workdir)
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, _SERVER, os.path.dirname(export)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            line = server.stdout.readline()
            if not line:
                raise RunError(f"the server of {export} did not start")
            ready, started = json.loads(line), time.perf_counter() - begin
            result = {
                "export": export,
                "start_seconds": started,
                "load_seconds": ready["load_seconds"],
                **_latencies(workdir, export, ready, repeats),
            }
        finally:
            server.stdin.close()
    return result


def _latencies(workdir: str, export: str, ports: dict, repeats: int) -> dict:
    options = {"timeout": 3600.0, "batch_size": max(_BATCHES)}
    by_grpc = Client(f"grpc://localhost:{ports['grpc']}", **options)
    by_rest = Client(f"http://localhost:{ports['rest']}", **options)
    functions = {
        "in_process": sampler_in_process(workdir, export),
        "grpc": by_grpc.sample,
        "rest": by_rest.sample,
    }
    shape = by_grpc.image_shape
    first = seconds(by_grpc.sample, np.arange(1))
    batches = {}
    for batch in _BATCHES:
        taken = interleaved(functions, np.arange(batch), repeats)
        direct = np.array(taken["in_process"])
        ratios = {name: float(np.median(np.array(taken[name]) / direct)) for name in taken}
        batches[str(batch)] = {"seconds": taken, "median_ratio": ratios}
    return {"image_shape": shape, "first_request_seconds": first, "batches": batches}


def table(result: dict) -> str:
    """The numbers for a reader."""
    lines = [
        f"{result['export']}, images {' x '.join(map(str, result['image_shape']))}",
        f"server started in {result['start_seconds']:.2f} s, of which the export's loading "
        f"{result['load_seconds']:.2f} s; first request {result['first_request_seconds']:.2f} s",
        f"{'batch':>5}  {'way':<10}  {'median s':>8}  {'ratio':>6}",
    ]
    for batch, numbers in result["batches"].items():
        for way, taken in numbers["seconds"].items():
            ratio = numbers["median_ratio"][way]
            lines.append(f"{batch:>5}  {way:<10}  {np.median(taken):>8.3f}  {ratio:>6.3f}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output")
    options = parser.parse_args()
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    output = options.output or os.path.join(options.workdir, "serving_benchmark.json")
    try:
        result = measure(options.workdir, options.repeats)
    except (InvalidArgument, RunError, ServingError) as error:
        print(f"benchmarks.serving: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    with written_whole(output) as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
