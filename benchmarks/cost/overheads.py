"""Costs of a run besides gradients: start-up, input, training loop, checkpoints, samplers, export.

    python -m benchmarks overheads --output=DIR [--config=configs/digits.py] [--rounds=5]
        [--steps=500]

Duration: not recorded.

Writes: DIR/overheads.json after every measurement, DIR/overheads.md at the end, a run in DIR/run.

Everything is executed as the program executes it, with the recipe's data and network. What is
compared takes turns in every round; results are medians, and medians over the rounds of ratios.
DIR must hold no run yet: after an interruption, measure in another folder.
"""

import contextlib
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from unittest import mock

import numpy as np
from ml_collections import ConfigDict

from benchmarks.command import new_parser, require_positive, run_benchmark
from benchmarks.cost.turns import median_ratio, time_in_turns
from benchmarks.recipes import load_recipe, with_sampling
from benchmarks.results import Results, markdown_table
from tf_mdsm.config.overrides import with_overrides
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.stderr import quiet_stderr

__all__ = ["main", "table"]

# Names of measurements to `seconds`, and, where it is compared, a `factor` and what it is `of`.
Rows = dict[str, dict]

# Images of a sampling run.
_BATCH = 64

# Batches that are fetched when input is timed.
_BATCHES = 200

# Gradient evaluations by themselves, which samplers are compared with.
_EVALUATIONS = 16

# A checkpoint's time is compared with that of so many training steps.
_STEPS_PER_CHECKPOINT = 500

# Keras' `steps_per_execution` in the second timing of `fit`.
_STEPS_PER_EXECUTION = 50

# Samplers with few steps: the time of one gradient evaluation is compared, not of a whole run.
_SAMPLERS = {
    "annealed_langevin": {"hot_steps": 4, "cooling_steps": 12, "final_steps": 4},
    "heun": {"num_levels": 9},
    "ancestral": {"num_levels": 17},
    "coarse_to_fine": {"max_steps": 16, "h0": 1e-4},
    "mala": {"num_levels": 17},
    "hmc": {"num_levels": 6},
}

# Run in a new process: the seconds of loading an export, and of its first answer.
_LOAD_EXPORT = """
import sys, time
import numpy as np, tensorflow as tf
begin = time.perf_counter()
loaded = tf.saved_model.load(sys.argv[1])
middle = time.perf_counter()
loaded.signatures["sample"](seed=tf.range(8, dtype=tf.int64))
print(middle - begin, time.perf_counter() - middle)
"""


def time_processes(recipe: str, rounds: int) -> Rows:
    """Commands from the start of their process to its end."""
    program = [sys.executable, "-m", "tf_mdsm.main"]
    commands = {
        "--help": [*program, "--help"],
        "a wrong setting is refused": [
            *program,
            f"--config={recipe}",
            "--config.noise.sigma_min=-1",
        ],
        "import tensorflow": [sys.executable, "-c", "import tensorflow"],
        "import tf_mdsm.runs.train": [sys.executable, "-c", "import tf_mdsm.runs.train"],
    }
    jobs = {
        name: lambda c=command: subprocess.run(c, capture_output=True, check=False)
        for name, command in commands.items()
    }
    seconds = time_in_turns(jobs, rounds)
    return {name: {"seconds": statistics.median(values)} for name, values in seconds.items()}


def start_training(config: ConfigDict, workdir: str, stack: contextlib.ExitStack, results: Results):
    """Everything up to the end of the first training call, each part timed once.

    Returns:
        the training run, open until `stack` is closed.
    """

    def timed(name: str, job: Callable):
        begin = time.perf_counter()
        result = job()
        results.add(name, {"seconds": time.perf_counter() - begin})
        return result

    def import_all() -> None:
        import tf_mdsm.runs.train  # noqa: F401

    with quiet_stderr():
        timed("TensorFlow and the program imported", import_all)
    import tensorflow as tf

    from tf_mdsm.runs.build_data import build_images
    from tf_mdsm.runs.build_session import open_session

    timed("images read", lambda: build_images(config))
    run = timed(
        "model, images and folder prepared",
        lambda: stack.enter_context(open_session(config, workdir)),
    )
    timed("first training call", lambda: run.run_steps(run.batches, tf.constant(1)).numpy())
    return run


def time_training(run, config: ConfigDict, rounds: int, steps: int) -> Rows:
    """The program's loop and Keras' `fit`, compared with as many steps in one compiled call."""
    import keras
    import tensorflow as tf

    from tf_mdsm.training.loop import train_to_end

    settings = dataclasses.replace(run.settings, checkpoint_every=0, validate_every=0)
    fit_batches = _batches(config)

    def loop() -> None:
        last = dataclasses.replace(settings, num_steps=run.checkpoints.step + steps)
        # The checkpoint at the end is timed by itself.
        with mock.patch.object(run.checkpoints, "save"):
            train_to_end(dataclasses.replace(run, settings=last))

    fitted = {1: run.model, _STEPS_PER_EXECUTION: keras.models.clone_model(run.model)}
    for steps_per_execution, model in fitted.items():
        model.steps_per_execution = steps_per_execution
        model.fit(fit_batches, steps_per_epoch=1, verbose=0)
    seconds = time_in_turns(
        {
            "bare": lambda: run.run_steps(run.batches, tf.constant(steps)).numpy(),
            "loop": loop,
            **{
                f"fit {n}": lambda m=m: m.fit(fit_batches, steps_per_epoch=steps, verbose=0)
                for n, m in fitted.items()
            },
            "save": run.checkpoints.save,
        },
        rounds,
    )
    return _training_rows(seconds, steps)


def _training_rows(seconds: dict[str, list[float]], steps: int) -> Rows:
    """Rows of the seconds of `steps` training steps in each way, and of a checkpoint."""
    bare = seconds["bare"]
    checkpoint_reference = [_STEPS_PER_CHECKPOINT * value / steps for value in bare]
    return {
        "training step": {"seconds": statistics.median(bare) / steps},
        "training step in the program's loop": {
            "seconds": statistics.median(seconds["loop"]) / steps,
            "factor": median_ratio(seconds["loop"], bare),
            "of": f"of {steps} steps in one compiled call",
        },
        **{
            f"training step in keras.Model.fit, steps_per_execution={n}": {
                "seconds": statistics.median(seconds[f"fit {n}"]) / steps,
                "factor": median_ratio(seconds[f"fit {n}"], bare),
                "of": f"of {steps} steps in one compiled call",
            }
            for n in (1, _STEPS_PER_EXECUTION)
        },
        "checkpoint written": {
            "seconds": statistics.median(seconds["save"]),
            "factor": median_ratio(seconds["save"], checkpoint_reference),
            "of": f"of {_STEPS_PER_CHECKPOINT} steps",
        },
    }


def _batches(config: ConfigDict, cache: str = ""):
    from tf_mdsm.datasets.batches import training_batches
    from tf_mdsm.runs.build_data import build_images

    images, _ = build_images(with_overrides(config, {"data.cache": cache}))
    return training_batches(
        images,
        batch_size=config.training.batch_size,
        seed=config.seed,
        flip=config.data.flip,
    )


def time_input(config: ConfigDict, folder: str, step_seconds: float, rounds: int) -> Rows:
    """Fetching a batch from memory and from disk, compared with a training step."""
    iterators = {
        "a batch from memory": iter(_batches(config)),
        "a batch from disk": iter(_batches(config, os.path.join(folder, "cache"))),
    }

    def fetch(iterator: Iterator) -> None:
        for _ in range(_BATCHES):
            next(iterator)

    rows: Rows = {}
    jobs = {name: lambda i=iterator: fetch(i) for name, iterator in iterators.items()}
    for name, values in time_in_turns(jobs, rounds).items():
        seconds = statistics.median(values) / _BATCHES
        rows[name] = {
            "seconds": seconds,
            "factor": seconds / step_seconds,
            "of": "of a training step",
        }
    return rows


def time_samplers(run, config: ConfigDict, rounds: int) -> Rows:
    """Sampling, per gradient evaluation, compared with gradient evaluations by themselves."""
    import tensorflow as tf

    from benchmarks.samples import gradient_evaluations
    from tf_mdsm.runs.build_method import build_method
    from tf_mdsm.samplers.chain import compile_chain

    model = run.model
    shape = (_BATCH, *model.image_shape)
    images = tf.constant(np.random.default_rng(0).uniform(size=shape), tf.float32)
    gradient = tf.function(model.energy_and_score, autograph=False)
    jobs: dict[str, Callable[[], object]] = {
        "gradient": lambda: [gradient(images)[1].numpy() for _ in range(_EVALUATIONS)]
    }
    evaluations = {"gradient": _EVALUATIONS}
    for name, settings in _SAMPLERS.items():
        sampling = with_sampling(config, {"sampler": name, "start": "isotropic", **settings})
        method = build_method(sampling, None)
        run_sampler = compile_chain(model, method)
        energies = run_sampler(range(_BATCH)).energies
        maximum = method.max_gradient_evaluations
        evaluations[name] = int(gradient_evaluations(energies, maximum, name).max())
        jobs[name] = lambda f=run_sampler: f(range(_BATCH))
    seconds = {
        name: [value / evaluations[name] for value in values]
        for name, values in time_in_turns(jobs, rounds).items()
    }
    bare = seconds.pop("gradient")
    rows: Rows = {f"gradient evaluation of {_BATCH} images": {"seconds": statistics.median(bare)}}
    for name, values in seconds.items():
        rows[f"gradient evaluation in {name}, {evaluations[name]} evaluations"] = {
            "seconds": statistics.median(values),
            "factor": median_ratio(values, bare),
            "of": "of a gradient evaluation by itself",
        }
    return rows


def time_export(config: ConfigDict, workdir: str, rounds: int) -> Rows:
    """Writing a SavedModel and comparing it with the model; opening it in a new process."""
    from tf_mdsm.runs.export import export

    begin = time.perf_counter()
    with quiet_stderr():
        (path,) = export(config, workdir)
    rows: Rows = {"export written and compared": {"seconds": time.perf_counter() - begin}}
    command = [sys.executable, "-c", _LOAD_EXPORT, path]
    seconds = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append([float(value) for value in done.stdout.split()])
    loads, first_answers = zip(*seconds, strict=True)
    rows["export opened"] = {"seconds": statistics.median(loads)}
    rows["first answer: 8 samples"] = {"seconds": statistics.median(first_answers)}
    return rows


def table(rows: Rows) -> str:
    """Markdown: each measurement with its time, and what it is compared with."""
    lines = [["measurement", "time", "compared with"]]
    for name, row in rows.items():
        seconds = row["seconds"]
        time_cell = f"{seconds:.2f} s" if seconds >= 0.2 else f"{1e3 * seconds:.2f} ms"
        comparison = ""
        if "factor" in row:
            factor = row["factor"]
            comparison = f"{factor:.3f}" if factor >= 0.5 else f"{100 * factor:.2f} %"
            comparison += f" {row['of']}"
        lines.append([name, time_cell, comparison])
    return markdown_table(lines)


def measure(
    results: Results, recipe: str, config: ConfigDict, folder: str, *, rounds: int, steps: int
) -> None:
    """Adds all measurements to `results`; trains and exports in `folder/run`."""

    def add(rows: Rows) -> None:
        for name, row in rows.items():
            results.add(name, row)

    workdir = os.path.join(folder, "run")
    add(time_processes(recipe, rounds))
    with contextlib.ExitStack() as stack:
        run = start_training(config, workdir, stack, results)
        add(time_training(run, config, rounds, steps))
        step_seconds = results.rows["training step"]["seconds"]
        add(time_input(config, folder, step_seconds, rounds))
        add(time_samplers(run, config, rounds))
    add(time_export(config, workdir, rounds))


def main(argv: list[str]) -> int:
    """Runs the benchmark with these flags, and returns the exit status."""
    parser = new_parser("overheads", __doc__)
    parser.add_argument("--output", required=True, help="folder of the results and of a run")
    parser.add_argument("--config", default="configs/digits.py", help="recipe")
    parser.add_argument("--rounds", type=int, default=5, help="how often each job is timed")
    parser.add_argument("--steps", type=int, default=500, help="training steps that are timed")
    options = parser.parse_args(argv)

    def benchmark() -> None:
        require_positive("--rounds", options.rounds)
        require_positive("--steps", options.steps)
        config = load_recipe(options.config)
        if os.path.exists(os.path.join(options.output, "run")):
            raise InvalidArgument("--output", "hold no run yet", options.output)
        tune_process()
        settings = {"config": options.config, "rounds": options.rounds, "steps": options.steps}
        with Results(os.path.join(options.output, "overheads.json"), settings) as results:
            measure(
                results,
                options.config,
                config,
                options.output,
                rounds=options.rounds,
                steps=options.steps,
            )
            results.write_table(table(results.finish()["rows"]))

    return run_benchmark("overheads", benchmark)
