"""Where the time of a training step goes, by kinds of operations.

    python -m benchmarks trace --output=DIR [--config=configs/digits.py] [--steps=20]

Duration: 23 s with the defaults, on two busy cores of an Intel Xeon.

Writes: DIR/trace.json, DIR/trace.md, and TensorFlow's profile in DIR/plugins.

TensorFlow's profiler traces the steps. The time in each kind of operation is added up over all
threads. This works on a CPU only: a GPU's kernels have other names. `tensorboard --logdir=DIR`
shows the profile, with TensorBoard's profile plugin.
"""

import collections
import glob
import os

from ml_collections import ConfigDict

from benchmarks.command import load_tensorflow, new_parser, require_positive, run_benchmark
from benchmarks.recipes import load_recipe
from benchmarks.results import Results, markdown_table
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.system.stderr import quiet_stderr

__all__ = ["main", "seconds_by_kind", "table", "trace_steps"]

# Kinds of operations that the table lists; it adds up the others.
_LISTED_KINDS = 24


def trace_steps(config: ConfigDict, folder: str, steps: int) -> None:
    """Writes a profile of training steps that were compiled before."""
    import tensorflow as tf

    from tf_mdsm.datasets.batches import training_batches
    from tf_mdsm.runs.build_data import build_images
    from tf_mdsm.runs.build_model import build_model, build_optimizer
    from tf_mdsm.training.compiled_loop import compile_steps

    model = build_model(config)
    model.compile(build_optimizer(config))
    images, _ = build_images(config)
    batches = iter(
        training_batches(images, batch_size=config.training.batch_size, seed=config.seed)
    )
    run_steps = compile_steps(model)
    run_steps(batches, tf.constant(2)).numpy()
    with tf.profiler.experimental.Profile(folder):
        run_steps(batches, tf.constant(steps)).numpy()


def seconds_by_kind(folder: str) -> dict[str, dict[str, float]]:
    """Kinds of operations, the longest first, to `seconds` over all threads and `calls`.

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
                    kind = _operation_kind(plane.event_metadata[event.metadata_id].name)
                    if kind:
                        seconds[kind] += event.duration_ps / 1e12
                        calls[kind] += 1
    if not seconds:
        raise RunError(f"{folder} holds no trace of operations")
    kinds = sorted(seconds, key=seconds.get, reverse=True)
    return {kind: {"seconds": seconds[kind], "calls": calls[kind]} for kind in kinds}


def _operation_kind(event: str) -> str:
    """`Conv2D` of the event `scope/name:_MklNativeConv2D`; empty for the runtime's own events."""
    scope, _, kind = event.rpartition(":")
    if "/" not in scope or scope.endswith(":") or not kind.isidentifier():
        return ""
    return kind.removeprefix("_MklNative").lstrip("_")


def table(kinds: dict[str, dict[str, float]], steps: int) -> str:
    """Markdown: the kinds that take longest, and the sum of all others."""
    total = sum(kind["seconds"] for kind in kinds.values())
    names = list(kinds)
    others = [kinds[name] for name in names[_LISTED_KINDS:]]
    sums = {field: sum(kind[field] for kind in others) for field in ("seconds", "calls")}
    listed = {name: kinds[name] for name in names[:_LISTED_KINDS]} | {"all others": sums}
    rows = [["operation", "calls a step", "ms a step", "share"]]
    for name, kind in listed.items():
        milliseconds, share = 1e3 * kind["seconds"] / steps, 100 * kind["seconds"] / total
        cells = [f"{kind['calls'] / steps:.0f}", f"{milliseconds:.2f}", f"{share:.1f} %"]
        rows.append([name, *cells])
    return markdown_table(rows)


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("trace", __doc__)
    parser.add_argument("--output", required=True, help="folder of the results and the trace")
    parser.add_argument("--config", default="configs/digits.py", help="recipe")
    parser.add_argument("--steps", type=int, default=20, help="training steps to trace")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        require_positive("--steps", options.steps)
        config = load_recipe(options.config)
        if glob.glob(os.path.join(options.output, "plugins", "**", "*.pb"), recursive=True):
            raise InvalidArgument("--output", "hold no trace yet", options.output)
        load_tensorflow()
        with quiet_stderr():
            trace_steps(config, options.output, options.steps)
        settings = {"config": options.config, "steps": options.steps}
        results = Results(os.path.join(options.output, "trace.json"), settings)
        results.rows = seconds_by_kind(options.output)
        results.write_table(table(results.finish()["rows"], options.steps))

    return run_benchmark("trace", benchmark)
