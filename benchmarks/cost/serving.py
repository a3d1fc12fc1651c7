"""What serving costs: latency of a served `sample` against the same chain in this process.

    python -m benchmarks.cost.serving --workdir=runs/digits [--repeats=9] [--output=FILE.json]

Takes the run's newest export, starts a server of it (tests/model_server.py, in a process of its
own: Python round the same graph and session, not TensorFlow Serving's binary), and draws the same
seeds in turn by gRPC, by REST and by the sampler of --mode=sample, with the settings that the
export was made with. Every round takes all of them, in an order that rotates, so that a busy
machine is busy for all; what is compared is the median of the rounds' ratios. The first request
is timed twice: of a server that has only loaded the export, and of one that has also answered
the export's warm-up requests, as TensorFlow Serving does before it is ready; the latter is the
one that is compared. Writes WORKDIR/serving_benchmark.json unless told otherwise.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError, ServingError, one_line
from tf_mdsm.serving import Client
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.stderr import quiet_stderr

_BATCHES = (1, 8)
_SERVER = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "model_server.py")


def newest_export(workdir: str) -> str:
    """The folder `export/<version>` with the highest version."""
    folder = os.path.join(workdir, "export")
    versions = os.listdir(folder) if os.path.isdir(folder) else []
    versions = [int(name) for name in versions if name.isdecimal()]
    if not versions:
        raise InvalidArgument("--workdir", "hold an export (--mode=export makes one)", workdir)
    return os.path.join(folder, str(max(versions)))


def sampler_in_process(workdir: str, export: str) -> Callable[[np.ndarray], np.ndarray]:
    """From seeds to images, as --mode=sample draws them.

    Raises:
        InvalidArgument: if the run was trained on since the export: other weights are no match.
    """
    with quiet_stderr():
        import tensorflow as tf

    from tf_mdsm.config import default_config
    from tf_mdsm.datasets.image_statistics import load_statistics
    from tf_mdsm.runs import build_model as build
    from tf_mdsm.runs.build_sampler import build_sampler
    from tf_mdsm.samplers.chain import compile_chain
    from tf_mdsm.training.checkpoints import restore_weights

    tf.config.experimental.enable_tensor_float_32_execution(False)
    config = default_config()
    with open(os.path.join(export, "assets.extra", "tf_mdsm.json"), encoding="utf-8") as file:
        provenance = json.load(file)
    config.update(provenance["config"])
    model = build.build_model(config)
    sampler = build_sampler(config, model, load_statistics(build.statistics_path(workdir)))
    step = restore_weights(os.path.join(workdir, "checkpoints"), model, config.checkpoint)
    if step != provenance["step"]:
        exported = f"have the exported step {provenance['step']} as its newest checkpoint"
        raise InvalidArgument("--workdir", f"{exported} (export again)", f"step {step}")
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


@contextlib.contextmanager
def server(export: str, *options: str) -> Iterator[dict]:
    """A server of the export: its ports, and the seconds that its start took, and parts of it."""
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, _SERVER, os.path.dirname(export), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            line = process.stdout.readline()
            if not line:
                raise RunError(f"the server of {export} did not start")
            yield json.loads(line) | {"start_seconds": time.perf_counter() - begin}
        finally:
            process.stdin.close()


def measure(workdir: str, export: str, repeats: int) -> dict:
    """All numbers, as they are written to the file."""
    in_process = sampler_in_process(workdir, export)
    with server(export) as cold, _client("grpc", cold) as client:
        shape, first_cold = _first_request(client)
    with (
        server(export, "--warm_up") as warm,
        _client("grpc", warm) as by_grpc,
        _client("rest", warm) as by_rest,
    ):
        _, first_warm = _first_request(by_grpc)
        functions = {"in_process": in_process, "grpc": by_grpc.sample, "rest": by_rest.sample}
        batches = _latencies(functions, repeats)
    return {
        "export": export,
        "image_shape": shape,
        "start_seconds": cold["start_seconds"],
        "load_seconds": cold["load_seconds"],
        "warm_up_seconds": warm["warm_up_seconds"],
        "first_request_seconds": {"cold": first_cold, "after_warm_up": first_warm},
        "batches": batches,
    }


def _client(way: str, ports: dict) -> Client:
    scheme = {"grpc": "grpc", "rest": "http"}[way]
    address = f"{scheme}://localhost:{ports[way]}"
    return Client(address, timeout=3600.0, batch_size=max(_BATCHES))


def _first_request(client: Client) -> tuple[tuple[int, int, int], float]:
    """The images' shape, which a client asks for once, so before the clock starts; seconds."""
    return client.image_shape, seconds(client.sample, np.arange(1))


def _latencies(functions: dict[str, Callable[[np.ndarray], object]], repeats: int) -> dict:
    batches = {}
    for batch in _BATCHES:
        taken = interleaved(functions, np.arange(batch), repeats)
        direct = np.array(taken["in_process"])
        ratios = {name: float(np.median(np.array(taken[name]) / direct)) for name in taken}
        batches[str(batch)] = {"seconds": taken, "median_ratio": ratios}
    return batches


def table(result: dict) -> str:
    """The numbers for a reader."""
    first = result["first_request_seconds"]
    lines = [
        f"{result['export']}, images {' x '.join(map(str, result['image_shape']))}",
        f"server started in {result['start_seconds']:.2f} s, of which the export's loading "
        f"{result['load_seconds']:.2f} s; first request {first['cold']:.2f} s",
        f"or, after {result['warm_up_seconds']:.2f} s of warm-up, {first['after_warm_up']:.2f} s",
        f"{'batch':>5}  {'way':<10}  {'median s':>8}  {'ratio':>6}",
    ]
    for batch, numbers in result["batches"].items():
        for way, taken in numbers["seconds"].items():
            ratio = numbers["median_ratio"][way]
            lines.append(f"{batch:>5}  {way:<10}  {np.median(taken):>8.3f}  {ratio:>6.3f}")
    return "\n".join(lines)


def _require_output(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK) or os.path.isdir(path):
        raise InvalidArgument("--output", "be a file in a folder that can be written", path)


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
        export = newest_export(options.workdir)
        _require_output(output)
        result = measure(options.workdir, export, options.repeats)
        with atomic_write(output) as partial, open(partial, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)
            file.write("\n")
    except (InvalidArgument, RunError, ServingError, OSError) as error:
        print(f"benchmarks.cost.serving: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
