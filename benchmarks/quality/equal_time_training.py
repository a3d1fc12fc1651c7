"""Training of variants for equal time: cost of a step, number of steps, one process each."""

import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np
from ml_collections import ConfigDict

from benchmarks.cost.memory import peak_mib
from benchmarks.cost.turns import time_in_turns
from benchmarks.recipes import config_hash
from tf_mdsm.config import file as config_file
from tf_mdsm.config.rules import check_same_run
from tf_mdsm.errors import RunError
from tf_mdsm.system.atomic import write_json

__all__ = ["measure_costs", "steps_in", "train_in_process", "watch_process"]

# What is timed: images of a batch, rounds, and repetitions of each job in a round.
_BATCH, _ROUNDS, _REPEATS = 64, 5, 4

# Random images that training steps are timed on.
_IMAGES = 1_024


def measure_costs(configs: dict[str, ConfigDict], path: str) -> dict[str, dict[str, float]]:
    """Size and speed of variants, timed in turns.

    Costs that `path` holds of the same settings are kept: the numbers of steps of runs that have
    begun depend on them.

    Args:
        configs: names of variants to their configurations.
        path: JSON file of the costs.

    Returns:
        names to `parameters`, and to the median seconds of a `forward` pass, of a `gradient` with
        respect to the images, and of a training `step`; and a hash of the `settings`.
    """
    costs = _read_json(path, {})
    jobs = {}
    for name, config in configs.items():
        settings = config_hash(config)
        if costs.get(name, {}).get("settings") != settings:
            parameters, timed = _jobs_of(config)
            costs[name] = {"settings": settings, "parameters": parameters}
            jobs.update({(name, cost): job for cost, job in timed.items()})
    for (name, cost), seconds in time_in_turns(jobs, _ROUNDS).items():
        costs[name][cost] = statistics.median(seconds) / _REPEATS
    write_json(costs, path)
    return costs


def _jobs_of(config: ConfigDict) -> tuple[int, dict]:
    """The number of a model's parameters, and functions that run `_REPEATS` of what is timed."""
    import tensorflow as tf

    from tf_mdsm import losses
    from tf_mdsm.datasets.batches import training_batches
    from tf_mdsm.runs.build_model import build_model, build_optimizer
    from tf_mdsm.training.compiled_loop import compile_steps

    model = build_model(config)
    model.compile(build_optimizer(config))
    network = model.network
    generator = np.random.default_rng(0)
    batch = tf.constant(generator.uniform(size=(_BATCH, *model.image_shape)), tf.float32)
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(_IMAGES, *model.image_shape)).astype(np.float32)
    batches = iter(training_batches(images, batch_size=config.training.batch_size, seed=0))
    run_steps = compile_steps(model)
    forward = tf.function(lambda x: network(x), autograph=False)
    gradient = tf.function(lambda x: losses.energy_and_gradient(network, x), autograph=False)
    return network.count_params(), {
        "forward": lambda: [forward(batch) for _ in range(_REPEATS)],
        "gradient": lambda: [gradient(batch) for _ in range(_REPEATS)],
        "step": lambda: run_steps(batches, tf.constant(_REPEATS)),
    }


def steps_in(minutes: float, seconds_per_step: float) -> int:
    """The number of steps that fill a time: at least 1, rounded down to three digits."""
    count = max(1, round(60 * minutes / seconds_per_step))
    unit = 10 ** max(0, len(str(count)) - 3)
    return count // unit * unit


def train_in_process(config: ConfigDict, folder: str) -> dict[str, float]:
    """Trains by the program's own command, in a process of its own.

    A run continues from its last checkpoint. It is not trained again when it is complete.

    Returns:
        `seconds` and `peak_mib` over all attempts, and the `step` that was reached; they are also
        kept in `folder/training.json`.

    Raises:
        InvalidArgument: if the folder holds a run of other settings.
        RunError: if the process fails.
    """
    path, config_path = (os.path.join(folder, name) for name in ("training.json", "config.json"))
    if os.path.exists(config_path):
        check_same_run(config, config_file.load_config(config_path))
    training = _read_json(path, {"seconds": 0.0, "peak_mib": 0.0})
    if training.get("step") == config.training.num_steps:
        return training
    os.makedirs(folder, exist_ok=True)
    config_file.save_config(config, config_path)
    command = [sys.executable, "-m", "tf_mdsm.main", f"--workdir={folder}"]
    command.append(f"--config={config_file.__file__}:{folder}")
    status = None
    begin = time.monotonic()
    try:
        status, peak = watch_process(command)
        training["peak_mib"] = max(training["peak_mib"], peak)
    finally:
        training["seconds"] += time.monotonic() - begin
        if status == 0:
            training["step"] = config.training.num_steps
        write_json(training, path)
    if status != 0:
        raise RunError(f"{folder}: training ended with status {status}")
    return training


def watch_process(command: list[str]) -> tuple[int, float]:
    """Runs a command; returns its exit status and the largest memory in MiB.

    If this function is interrupted, it asks the process to stop by SIGTERM, which makes a training
    run save a checkpoint, and waits for its end.
    """
    peak = 0.0
    process = subprocess.Popen(command)
    try:
        while process.poll() is None:
            peak = max(peak, peak_mib(process.pid) or 0.0)
            time.sleep(0.1)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    return process.returncode, peak


def _read_json(path: str, default: dict) -> dict:
    if not os.path.exists(path):
        return default
    with open(path, encoding="utf-8") as file:
        return json.load(file)
