"""What a run costs besides its gradients: start-up, input, loop, checkpoints, samplers, export.

    python -m benchmarks.cost.overheads --output=DIR [--config=configs/digits.py] [--rounds=5]
        [--steps=500]

Everything is run as the program runs it, on the recipe's own data and network. What is compared
takes turns, in every round; shown are medians, and the median of the rounds' ratios. Writes
DIR/overheads.{json,md}; the run and its export are made in DIR/run.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
from ml_collections import ConfigDict

from benchmarks.recipes import load_recipe, with_fields
from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.stderr import quiet_stderr

# What: seconds, and a share or a factor with what it is of.
Rows = dict[str, dict]

_BATCH = 64

# Of samplers, short: what is compared is the time of a gradient.
_SAMPLERS = {
    "annealed_langevin": {"hot_steps": 4, "cooling_steps": 12, "final_steps": 4},
    "heun": {"num_levels": 9},
    "ancestral": {"num_levels": 17},
    "coarse_to_fine": {"max_steps": 16, "h0": 1e-4},
    "mala": {"num_levels": 17},
    "hmc": {"num_levels": 6},
}

_LOAD = """
import sys, time
import numpy as np, tensorflow as tf
begin = time.perf_counter()
loaded = tf.saved_model.load(sys.argv[1])
middle = time.perf_counter()
loaded.signatures["sample"](seed=tf.range(8, dtype=tf.int64))
print(middle - begin, time.perf_counter() - middle)
"""


def in_turns(jobs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each job in every round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(1 + rounds):
        for name, job in jobs.items():
            begin = time.perf_counter()
            job()
            if number:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def start_up(recipe: str, rounds: int) -> Rows:
    """Processes from their start to their end."""
    main = [sys.executable, "-m", "tf_mdsm.main"]
    commands = {
        "--help": [*main, "--help"],
        "a wrong setting is refused": [
            *(*main, f"--config={recipe}", "--config.noise.sigma_min=-1")
        ],
        "import tensorflow": [sys.executable, "-c", "import tensorflow"],
        "import tf_mdsm.runs.train": [sys.executable, "-c", "import tf_mdsm.runs.train"],
    }
    jobs = {
        name: lambda c=command: subprocess.run(c, capture_output=True, check=False)
        for name, command in commands.items()
    }
    return {
        name: {"seconds": statistics.median(seconds)}
        for name, seconds in in_turns(jobs, rounds).items()
    }


def phases(config: ConfigDict, workdir: str, opened: contextlib.ExitStack):
    """Everything before the second training call, once; the run, open as long as `opened`, and
    rows."""
    rows: Rows = {}

    def timed(name: str, job: Callable):
        begin = time.perf_counter()
        result = job()
        rows[name] = {"seconds": time.perf_counter() - begin}
        return result

    def import_all() -> None:
        import tf_mdsm.runs.train  # noqa: F401

    with quiet_stderr():
        timed("TensorFlow and the program imported", import_all)
    import tensorflow as tf

    from tf_mdsm.runs import build_model as build
    from tf_mdsm.training.session import prepared

    timed("images read", lambda: build.build_images(config))
    run = timed(
        "model, images and folder prepared",
        lambda: opened.enter_context(prepared(config, workdir)),
    )
    timed("first training call", lambda: run.run_steps(run.batches, tf.constant(1)).numpy())
    return run, rows


def training(run, config: ConfigDict, rounds: int, steps: int) -> Rows:
    """The program's loop, and Keras' `fit`, beside the same steps in one compiled call."""
    import tensorflow as tf

    from tf_mdsm.runs.train import run_to_end

    settings = ConfigDict(config.training.to_dict())
    settings.update(num_steps=0, checkpoint_every=0, validate_every=0)
    run = dataclasses.replace(run, settings=settings)
    fit_batches = _batches(config)

    def loop() -> None:
        settings.num_steps = run.checkpoints.step + steps
        run_to_end(run)

    run.model.fit(fit_batches, steps_per_epoch=1, verbose=0)
    seconds = in_turns(
        {
            "bare": lambda: run.run_steps(run.batches, tf.constant(steps)).numpy(),
            "loop": loop,
            "fit": lambda: run.model.fit(fit_batches, steps_per_epoch=steps, verbose=0),
            # A run ends with a checkpoint, which is timed by itself.
            "save": run.checkpoints.save,
        },
        rounds,
    )
    bare = seconds["bare"]
    loops = [loop - save for loop, save in zip(seconds["loop"], seconds["save"], strict=True)]
    per_step = statistics.median(bare) / steps
    of_the_steps = f"of {steps} steps in one compiled call"
    return {
        "training step": {"seconds": per_step},
        "… in the program's loop": {
            "seconds": statistics.median(loops) / steps,
            "factor": _ratio(loops, bare),
            "of": of_the_steps,
        },
        "… in keras.Model.fit": {
            "seconds": statistics.median(seconds["fit"]) / steps,
            "factor": _ratio(seconds["fit"], bare),
            "of": of_the_steps,
        },
        "checkpoint written": {
            "seconds": statistics.median(seconds["save"]),
            "factor": _ratio(seconds["save"], [500 * value / steps for value in bare]),
            "of": "of 500 steps",
        },
    }


def _batches(config: ConfigDict, cache: str = ""):
    from tf_mdsm.datasets.batches import training_batches
    from tf_mdsm.runs import build_model as build

    images, _ = build.build_images(with_fields(config, {"data.cache": cache}))
    return training_batches(images, config.training.batch_size, config.seed, config.data.flip)


def input_pipeline(config: ConfigDict, folder: str, step: float, rounds: int) -> Rows:
    """Batches alone, from memory and from disk, beside the training step."""
    count = 200
    rows: Rows = {}
    iterators = {
        "a batch from memory": iter(_batches(config)),
        "a batch from disk": iter(_batches(config, os.path.join(folder, "cache"))),
    }

    def take(iterator) -> None:
        for _ in range(count):
            next(iterator)

    jobs = {name: lambda i=iterator: take(i) for name, iterator in iterators.items()}
    for name, seconds in in_turns(jobs, rounds).items():
        taken = statistics.median(seconds) / count
        rows[name] = {"seconds": taken, "factor": taken / step, "of": "of a training step"}
    return rows


def samplers(run, config: ConfigDict, rounds: int) -> Rows:
    """Whole chains for each gradient that they take, beside a gradient by itself."""
    import tensorflow as tf

    from benchmarks.samples import gradients_taken
    from tf_mdsm.runs.build_sampler import build_sampler
    from tf_mdsm.samplers.chain import compile_chain

    model = run.model
    shape = (_BATCH, *model.image_shape)
    images = tf.constant(np.random.default_rng(0).uniform(size=shape), tf.float32)
    gradient = tf.function(model.energy_and_score, autograph=False)
    jobs = {"gradient": lambda: [gradient(images)[1].numpy() for _ in range(16)]}
    taken = {"gradient": 16}
    for name, fields in _SAMPLERS.items():
        fields = {"sampler": name, "start": "isotropic", **fields}
        sampling = with_fields(config, {f"sampling.{key}": v for key, v in fields.items()})
        sampler = build_sampler(sampling, model, None)
        chain = compile_chain(sampler)
        drawn = chain(range(_BATCH))
        taken[name] = int(
            gradients_taken(drawn.energies, sampler.max_gradient_evaluations, name).max()
        )
        jobs[name] = lambda c=chain: c(range(_BATCH))
    seconds = {
        name: [value / taken[name] for value in values]
        for name, values in in_turns(jobs, rounds).items()
    }
    bare = seconds.pop("gradient")
    rows: Rows = {f"gradient of {_BATCH} images": {"seconds": statistics.median(bare)}}
    for name, values in seconds.items():
        rows[f"… in {name}, {taken[name]} gradients"] = {
            "seconds": statistics.median(values),
            "factor": _ratio(values, bare),
            "of": "of a gradient by itself",
        }
    return rows


def exporting(config: ConfigDict, workdir: str, rounds: int) -> Rows:
    """A SavedModel written and compared, and opened in a fresh process."""
    from tf_mdsm.runs.export import export

    begin = time.perf_counter()
    with quiet_stderr():
        path = export(config, workdir)
    rows: Rows = {"export written and compared": {"seconds": time.perf_counter() - begin}}
    loads, calls = [], []
    for _ in range(rounds):
        done = subprocess.run(
            [sys.executable, "-c", _LOAD, path], capture_output=True, text=True, check=True
        )
        load, call = map(float, done.stdout.split())
        loads.append(load)
        calls.append(call)
    rows["export opened"] = {"seconds": statistics.median(loads)}
    rows["first answer: 8 samples"] = {"seconds": statistics.median(calls)}
    return rows


def table(report: Rows) -> str:
    """Markdown."""
    lines = ["| what | time | beside |", "| --- | --- | --- |"]
    for name, row in report.items():
        seconds = row["seconds"]
        shown = f"{seconds:.2f} s" if seconds >= 0.2 else f"{1e3 * seconds:.2f} ms"
        beside = ""
        if "factor" in row:
            factor = row["factor"]
            beside = f"{factor:.3f}" if factor >= 0.5 else f"{100 * factor:.2f} %"
            beside += f" {row['of']}"
        lines.append(f"| {name} | {shown} | {beside} |")
    return "\n".join([*lines, ""])


def measure(recipe: str, config: ConfigDict, folder: str, rounds: int, steps: int) -> Rows:
    """All of it; `folder` is where the run is made."""
    workdir = os.path.join(folder, "run")
    report = start_up(recipe, rounds)
    with contextlib.ExitStack() as opened:
        run, rows = phases(config, workdir, opened)
        report |= rows
        trained = training(run, config, rounds, steps)
        step = trained["training step"]["seconds"]
        report |= trained | input_pipeline(config, folder, step, rounds)
        report |= samplers(run, config, rounds)
    return report | exporting(config, workdir, rounds)


def main(argv: list[str]) -> int:
    """Parses the command line, measures, and returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost.overheads")
    parser.add_argument("--output", required=True)
    parser.add_argument("--config", default="configs/digits.py")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=500)
    options = parser.parse_args(argv[1:])
    try:
        for flag in ("rounds", "steps"):
            if getattr(options, flag) < 1:
                raise InvalidArgument(f"--{flag}", "be positive", getattr(options, flag))
        config = load_recipe(options.config)
        if os.path.exists(os.path.join(options.output, "run")):
            raise InvalidArgument("--output", "hold no run yet", options.output)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        tune_process()
        os.makedirs(options.output, exist_ok=True)
        report = measure(options.config, config, options.output, options.rounds, options.steps)
    except (InvalidArgument, RunError) as error:
        print(f"overheads: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    stem = os.path.join(options.output, "overheads")
    with atomic_write(f"{stem}.json") as partial, open(partial, "w", encoding="utf-8") as file:
        json.dump(report, file, indent=2)
        file.write("\n")
    with atomic_write(f"{stem}.md") as partial, open(partial, "w", encoding="utf-8") as file:
        file.write(table(report))
    print(table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
