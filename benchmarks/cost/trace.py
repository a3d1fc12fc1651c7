"""Where the time of a training step goes, by kinds of operations.

    python -m benchmarks.cost.trace --output=DIR [--config=configs/digits.py] [--steps=20]

Traces steps with TensorFlow's profiler (`tensorboard --logdir=DIR` shows it with TensorBoard's
profile plugin) and adds up the time in each kind of operation over all threads: on a CPU, as a
GPU's kernels have other names. Writes DIR/trace.{json,md} beside the trace.
"""

import argparse
import collections
import glob
import json
import os
import sys

import numpy as np
from ml_collections import ConfigDict

from benchmarks.recipes import load_recipe
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.stderr import quiet_stderr

_SHOWN = 24


def trace_steps(config: ConfigDict, folder: str, steps: int) -> None:
    """Writes a profile of training steps, compiled before."""
    import tensorflow as tf

    from tf_mdsm.datasets.batches import training_batches
    from tf_mdsm.runs import build_model as build
    from tf_mdsm.training.steps import compile_steps

    model = build.build_model(config)
    model.compile(build.build_optimizer(config))
    images, _ = build.build_images(config)
    batches = iter(training_batches(images, config.training.batch_size, config.seed))
    run_steps = compile_steps(model)
    run_steps(batches, tf.constant(2)).numpy()
    with tf.profiler.experimental.Profile(folder):
        run_steps(batches, tf.constant(steps)).numpy()


def seconds_by_kind(folder: str) -> dict[str, tuple[float, int]]:
    """Kinds of operations, the longest first, to seconds over all threads and calls.

    Raises:
        RunError: if the folder holds no trace of operations.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    seconds: dict[str, float] = collections.defaultdict(float)
    calls: dict[str, int] = collections.defaultdict(int)
    for path in glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True):
        space = xplane_pb2.XSpace()
        with open(path, "rb") as file:
            space.ParseFromString(file.read())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    # Operations are named "scope/name:Kind"; the runtime's own events are not.
                    name = plane.event_metadata[event.metadata_id].name
                    scope, _, kind = name.rpartition(":")
                    if "/" in scope and not scope.endswith(":") and kind.isidentifier():
                        kind = kind.removeprefix("_MklNative").lstrip("_")
                        seconds[kind] += event.duration_ps / 1e12
                        calls[kind] += 1
    if not seconds:
        raise RunError(f"{folder} holds no trace of operations")
    kinds = sorted(seconds, key=seconds.get, reverse=True)
    return {kind: (seconds[kind], calls[kind]) for kind in kinds}


def table(kinds: dict[str, tuple[float, int]], steps: int) -> str:
    """Markdown: the longest kinds, and the rest together."""
    total = sum(seconds for seconds, _ in kinds.values())
    lines = ["| operation | calls a step | ms a step | share |", "| --- " * 4 + "|"]
    shown = list(kinds.items())[:_SHOWN]
    rest = np.sum([found for _, found in list(kinds.items())[_SHOWN:]] or [(0, 0)], axis=0)
    for kind, (seconds, calls) in [*shown, ("all others", rest)]:
        cells = f"{calls / steps:.0f} | {1e3 * seconds / steps:.2f} | {100 * seconds / total:.1f} %"
        lines.append(f"| {kind} | {cells} |")
    return "\n".join([*lines, ""])


def main(argv: list[str]) -> int:
    """Parses the command line, traces, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.trace")
    parser.add_argument("--output", required=True)
    parser.add_argument("--config", default="configs/digits.py")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args(argv[1:])
    try:
        if options.steps < 1:
            raise InvalidArgument("--steps", "be positive", options.steps)
        config = load_recipe(options.config)
        if glob.glob(os.path.join(options.output, "plugins", "**", "*.pb"), recursive=True):
            raise InvalidArgument("--output", "hold no trace yet", options.output)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        tune_process()
        with quiet_stderr():
            trace_steps(config, options.output, options.steps)
        kinds = seconds_by_kind(options.output)
    except (InvalidArgument, RunError) as error:
        print(f"trace: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    stem = os.path.join(options.output, "trace")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump({"steps": options.steps, "kinds": kinds}, file, indent=2)
        file.write("\n")
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(table(kinds, options.steps))
    print(table(kinds, options.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
