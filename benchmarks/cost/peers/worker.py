"""Runs one peer in this process: `python -m benchmarks.cost.peers.worker PEER MODE CASE`.

CASE is JSON of a `Case`'s fields. The process answers once when it is ready. Then it reads lines
"JOB STEPS", and answers each, in JSON, with the seconds that these steps took. In a process of its
own a framework shares neither threads nor memory with the others.
"""

import dataclasses
import importlib
import json
import os
import sys
import time

from benchmarks.cost.memory import peak_mib
from benchmarks.cost.peers.case import Case
from tf_mdsm.errors import one_line
from tf_mdsm.system.cpu_tuning import compute_parts_at_once, tune_process

# Peers that run in a tuned process, as tf_mdsm does.
_TUNED = ("ours", "convolutions", "ceiling")

# Modes of our own steps in which every core shares each operation, as in a user's own process.
_CORES_TOGETHER = ("cores together", "untuned", "XLA")


def main(argv: list[str]) -> int:
    """Serves one peer until the standard input ends; returns the exit status."""
    peer, mode, fields = argv[1:]
    case = Case(**json.loads(fields))
    case = dataclasses.replace(case, image_shape=tuple(case.image_shape))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if peer in _TUNED and not mode.endswith("untuned"):
        # Before TensorFlow is loaded.
        tune_process()
    if peer == "ours" and not mode.endswith(_CORES_TOGETHER):
        compute_parts_at_once()
    # Frameworks print to the standard output, so answers use a copy of it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        jobs = importlib.import_module(f"benchmarks.cost.peers.{peer}").prepare(case, mode)
        answer(ready=True)
        for line in sys.stdin:
            job, steps = line.split()
            begin = time.perf_counter()
            jobs[job](int(steps))
            seconds = time.perf_counter() - begin
            answer(seconds=seconds, peak_mib=peak_mib())
    except Exception as error:  # Of any framework: the benchmark continues without this peer.
        answer(error=f"{type(error).__name__}: {one_line(error)[:300]}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
