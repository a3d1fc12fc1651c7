"""Runs the prepared programs on an accelerator: checks, times, trains, draws images.

    python -m benchmarks run --folder=DIR --output=DIR [--jobs=…] [--seconds=…]

Duration: the sum of the jobs' limits at most; `--seconds` limits all of them.

Writes: DIR/results.json after every finding; of `train` jobs also DIR/CASE_weights_N.npy (each
below 16 MB) and the images that were drawn, DIR/CASE_heun.npz and DIR/CASE_chain.npz.

Needs NumPy and JAX with the accelerator, PyTorch for the peers, and the folder that `prepare`
wrote; no TensorFlow. Each job is a process of its own, with a limit of time:

    describe:CASE            device and versions
    time:CASE                checks against TensorFlow, determinism, time of a training step
    train:CASE               the same; trains, writes the weights, draws 10,000 images
    deterministic:CASE       as `time`, with XLA's deterministic operations only
    convolutions:            rate of plain convolutions
    pytorch:CASE:MODE        PyTorch's training step and Langevin step
    jax:CASE                 the same in JAX

`--jobs` names them with their limits in seconds, separated by semicolons: `time:res12=90;…`.
"""

import json
import os
import subprocess
import sys
import threading
import time

from benchmarks.command import new_parser, run_benchmark
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.atomic import write_json

__all__ = ["DEFAULT_JOBS", "job_command", "main", "run_jobs"]

_OWN = ("describe", "time", "train", "deterministic")
_PEERS = ("convolutions", "pytorch", "jax")

DEFAULT_JOBS = (
    "train:res12_tf32=250;train:unet_tf32=130;time:res12_bfloat16=35;"
    "pytorch:res12:eager, channels last=75;time:unet=30;jax:res12=40;time:unet_bfloat16=30;"
    "time:res18_tf32=40;time:res18_bfloat16=40;deterministic:res12_tf32=40;"
    "convolutions:=40;pytorch:res12:compiled, channels last=120"
)


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = new_parser("run", __doc__)
    parser.add_argument("--folder", required=True, metavar="DIR")
    parser.add_argument("--output", required=True, metavar="DIR")
    parser.add_argument("--jobs", default=DEFAULT_JOBS)
    parser.add_argument("--seconds", type=float, default=3_600.0)
    flags = parser.parse_args(argv)

    def benchmark() -> None:
        jobs = [_job(text) for text in flags.jobs.split(";") if text.strip()]
        os.makedirs(flags.output, exist_ok=True)
        run_jobs(jobs, flags.folder, flags.output, flags.seconds)

    return run_benchmark("run", benchmark)


def _job(text: str) -> tuple[str, float]:
    """A job's name and its limit in seconds."""
    name, _, seconds = text.strip().rpartition("=")
    kind = name.split(":")[0]
    if kind not in _OWN + _PEERS or not seconds.replace(".", "", 1).isdigit():
        known = ", ".join(_OWN + _PEERS)
        raise InvalidArgument("--jobs", f"be KIND:CASE=SECONDS with a kind of {known}", text)
    return name, float(seconds)


def run_jobs(jobs: list[tuple[str, float]], folder: str, output: str, seconds: float) -> None:
    """Runs jobs one after the other, and keeps what they tell in `results.json`.

    Results of other jobs that are there stay.
    """
    end, path = time.monotonic() + seconds, os.path.join(output, "results.json")
    results: dict[str, dict] = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            results = json.load(file)
    for name, limit in jobs:
        limit = min(limit, end - time.monotonic())
        if limit < 5:
            print(f"{name}: no time left", flush=True)
            continue
        job = results[name] = {"limit": limit, "findings": []}
        start = time.monotonic()
        job["status"] = _run_job(name, limit, folder, output, job["findings"], results)
        job["seconds"] = time.monotonic() - start
        write_json(results, path)
        print(f"{name}: {job['status']}, {job['seconds']:.0f} s", flush=True)


def _run_job(
    name: str, limit: float, folder: str, output: str, findings: list, results: dict
) -> str:
    """Runs one job; returns how it ended."""
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    if name.startswith("deterministic:"):
        flags = os.environ.get("XLA_FLAGS", "")
        environment["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true"
    with open(os.path.join(output, "log.txt"), "a", encoding="utf-8") as log:
        log.write(f"--- {name}\n")
        log.flush()
        with subprocess.Popen(
            job_command(name, limit, folder, output),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        ) as process:
            timer = threading.Timer(limit, process.kill)
            timer.start()
            try:
                for line in process.stdout or ():
                    _keep(line, findings)
                    write_json(results, os.path.join(output, "results.json"))
            finally:
                timer.cancel()
    return "done" if process.returncode == 0 else f"exit status {process.returncode}"


def job_command(name: str, limit: float, folder: str, output: str) -> list[str]:
    """The command of a job's process."""
    kind, _, rest = name.partition(":")
    if kind in _PEERS:
        return [sys.executable, "-m", "benchmarks.accelerator.peer_jobs", name, str(limit)]
    own = f"{'time' if kind == 'deterministic' else kind}:{rest}"
    module = "benchmarks.accelerator.jobs"
    return [sys.executable, "-m", module, own, folder, output, str(limit)]


def _keep(line: str, findings: list) -> None:
    """Adds a line of a job to its findings, and shows it without long lists."""
    try:
        finding = json.loads(line)
    except ValueError:
        finding = {"output": line.rstrip()}
    findings.append(finding)
    short = {k: v for k, v in finding.items() if not (isinstance(v, list) and len(v) > 10)}
    print("  ", json.dumps(short), flush=True)
