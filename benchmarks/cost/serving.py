"""Latency of a served `sample` request, compared with the same sampler in this process.

    python -m benchmarks serving --workdir=runs/digits [--repeats=9] [--output=FILE.json]

Duration: 53 s with the digits of `configs/digits.py`, on two cores of an AMD EPYC; 103 s with
--repeats=31. Other work ran beside both; the first had no requests of 64 images.

Writes: WORKDIR/serving_benchmark.json, or FILE.json, after every batch size.

The newest export of the run is served by tests/helpers/model_server.py in a process of its own:
Python around the same graph and session, not TensorFlow Serving's binary. The same seeds are
sampled by gRPC, by REST and by the sampler of --mode=sample, with the settings of the export.
Requests have 1, 8 and 64 images, as far as the export takes so many. Every round takes all three
ways, in an order that rotates, so that other work on the machine slows all of them alike. Compared
are medians over the rounds of the ratios. "images/s" is the number of images over the median of the
seconds: one client that sends its next request when it has the answer.

The first request is timed twice: on a server that has only loaded the export, and on one that has
also answered the export's warm-up requests, as TensorFlow Serving does before it is ready. The
latter server is the one that is compared.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.command import new_parser, require_positive, run_benchmark
from benchmarks.cost.turns import median_ratio, time_in_turns
from benchmarks.results import Results
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.serving import Client
from tf_mdsm.system.stderr import quiet_stderr

__all__ = [
    "batch_sizes",
    "main",
    "measure",
    "newest_export",
    "sampler_in_process",
    "server",
    "table",
]

# Seeds to images.
SampleFn = Callable[[np.ndarray], np.ndarray]

_BATCH_SIZES = (1, 8, 64)
_ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


def newest_export(workdir: str) -> str:
    """The folder `export/<version>` with the highest version.

    Raises:
        InvalidArgument: if the run has no export.
    """
    folder = os.path.join(workdir, "export")
    versions = os.listdir(folder) if os.path.isdir(folder) else []
    versions = [int(name) for name in versions if name.isdecimal()]
    if not versions:
        raise InvalidArgument("--workdir", "hold an export (--mode=export makes one)", workdir)
    return os.path.join(folder, str(max(versions)))


def _provenance(export: str) -> dict:
    """What the export notes about itself: the step, and the configuration."""
    with open(os.path.join(export, "assets.extra", "tf_mdsm.json"), encoding="utf-8") as file:
        return json.load(file)


def batch_sizes(export: str) -> list[int]:
    """The numbers of images of a request that are measured: those that the export takes."""
    limit = _provenance(export)["config"]["export"]["max_batch_size"]
    return [size for size in _BATCH_SIZES if size <= limit]


def sampler_in_process(workdir: str, export: str) -> SampleFn:
    """The sampler of --mode=sample with the export's settings: seeds to images.

    Raises:
        InvalidArgument: if the run has trained further since the export: its weights are others.
    """
    with quiet_stderr():
        import tensorflow as tf

    from tf_mdsm.config import default_config
    from tf_mdsm.runs.loaded_run import load_run
    from tf_mdsm.samplers.chain import compile_chain

    tf.config.experimental.enable_tensor_float_32_execution(False)
    config, provenance = default_config(), _provenance(export)
    config.update(provenance["config"])
    run = load_run(config, workdir)
    if run.step != provenance["step"]:
        exported = f"have the exported step {provenance['step']} as its newest checkpoint"
        raise InvalidArgument("--workdir", f"{exported} (export again)", f"step {run.step}")
    run_sampler = compile_chain(run.target, run.method, config.sampling.show_every)
    return lambda seeds: run_sampler(seeds).images


@contextlib.contextmanager
def server(export: str, *options: str) -> Iterator[dict]:
    """Serves the export in the block.

    Yields:
        the ports `grpc` and `rest`; `start_seconds`, of which `load_seconds`, and, with
        `--warm_up`, `warm_up_seconds`.
    """
    folder = os.path.abspath(os.path.dirname(export))
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.model_server", folder, *options],
        cwd=_ROOT,
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


def measure(results: Results, workdir: str, export: str, repeats: int) -> None:
    """Adds start-up times and a row for each batch size to `results`."""
    in_process = sampler_in_process(workdir, export)
    with server(export) as cold, _client("grpc", cold) as client:
        shape, first_cold = _time_first_request(client)
    with (
        server(export, "--warm_up") as warm,
        _client("grpc", warm) as by_grpc,
        _client("rest", warm) as by_rest,
    ):
        _, first_warm = _time_first_request(by_grpc)
        results.set_facts(
            export=export,
            image_shape=shape,
            start_seconds=cold["start_seconds"],
            load_seconds=cold["load_seconds"],
            warm_up_seconds=warm["warm_up_seconds"],
            first_request_seconds={"cold": first_cold, "after_warm_up": first_warm},
        )
        ways = {"in_process": in_process, "grpc": by_grpc.sample, "rest": by_rest.sample}
        for batch_size in batch_sizes(export):
            results.add(str(batch_size), _time_requests(ways, batch_size, repeats))


def _client(transport: str, ports: dict) -> Client:
    scheme = {"grpc": "grpc", "rest": "http"}[transport]
    address = f"{scheme}://localhost:{ports[transport]}"
    return Client(address, timeout=3600.0, batch_size=max(_BATCH_SIZES))


def _time_first_request(client: Client) -> tuple[tuple[int, int, int], float]:
    """The images' shape, which the client requests before the clock starts, and the seconds."""
    shape = client.image_shape
    begin = time.perf_counter()
    client.sample(np.arange(1))
    return shape, time.perf_counter() - begin


def _time_requests(ways: dict[str, SampleFn], batch_size: int, repeats: int) -> dict:
    """Seconds of each way in every round, and the median ratio to sampling in this process."""
    seeds = np.arange(batch_size)
    jobs = {name: lambda sample=sample: sample(seeds) for name, sample in ways.items()}
    seconds = time_in_turns(jobs, repeats)
    ratios = {name: median_ratio(seconds[name], seconds["in_process"]) for name in seconds}
    return {"seconds": seconds, "median_ratio": ratios}


def table(report: dict) -> str:
    """The results as text."""
    first = report["first_request_seconds"]
    lines = [
        f"{report['export']}, images {' x '.join(map(str, report['image_shape']))}",
        f"server started in {report['start_seconds']:.2f} s, of which the export's loading "
        f"{report['load_seconds']:.2f} s; first request {first['cold']:.2f} s",
        f"or, after {report['warm_up_seconds']:.2f} s of warm-up, {first['after_warm_up']:.2f} s",
        f"{'batch':>5}  {'way':<10}  {'median s':>8}  {'slowest':>8}  "
        f"{'images/s':>8}  {'ratio':>6}",
    ]
    for batch_size, row in report["rows"].items():
        for way, seconds in row["seconds"].items():
            ratio, median = row["median_ratio"][way], np.median(seconds)
            lines.append(
                f"{batch_size:>5}  {way:<10}  {median:>8.4f}  {max(seconds):>8.4f}  "
                f"{int(batch_size) / median:>8.1f}  {ratio:>6.3f}"
            )
    return "\n".join(lines)


def _require_output(path: str) -> None:
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder) or not os.access(folder, os.W_OK) or os.path.isdir(path):
        raise InvalidArgument("--output", "be a file in a folder that can be written", path)


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("serving", __doc__)
    parser.add_argument("--workdir", required=True, help="folder of a run that has an export")
    parser.add_argument("--repeats", type=int, default=9, help="requests of each kind")
    parser.add_argument("--output", help="file of the results")
    options = parser.parse_args(argv)
    output = options.output or os.path.join(options.workdir, "serving_benchmark.json")

    def benchmark() -> None:
        require_positive("--repeats", options.repeats)
        export = newest_export(options.workdir)
        _require_output(output)
        try:
            with Results(output, {"export": export, "repeats": options.repeats}) as results:
                measure(results, options.workdir, export, options.repeats)
                print(table(results.finish([str(size) for size in batch_sizes(export)])))
        except OSError as error:
            raise RunError(one_line(error)) from error

    return run_benchmark("serving", benchmark)
