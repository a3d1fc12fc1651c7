"""Writes the folder that `run` carries to an accelerator: compiled programs, images, expectations.

    python -m benchmarks prepare --output=DIR [--cases=res12,…] [--photographs=FOLDER]

Duration: three minutes on two cores for all cases; most of it are the training steps that
TensorFlow computes for comparison.

Writes: DIR/CASE_*.stablehlo.gz and .json, DIR/images.npz, DIR/order_images_BATCH.npz,
DIR/patches_CHANNELS.npz, DIR/order_patches_CHANNELS_BATCH.npz, DIR/cases.json,
DIR/expected_CASE.npz. A folder holds one set of images: `small` needs one of its own.

The cases of photographs take those of scikit-image, or all that are in FOLDER.

Needs TensorFlow, JAX (`pip install -e '.[peers]'`) and Debian's package dataset-fashion-mnist; no
accelerator. The programs are those that a run executes: noise, both gradients, the optimizer and
averaged weights in one program, many steps a call; and the samplers. Initial weights are not
written: NumPy makes them from a seed here and there (initial_state.py).
"""

import json
import os
from typing import Any

import numpy as np

from benchmarks.accelerator.cases import CASES, AcceleratorCase
from benchmarks.accelerator.initial_state import describe_fill, fill_all
from benchmarks.accelerator.projections import projections
from benchmarks.command import chosen_names, load_tensorflow, new_parser, run_benchmark
from tf_mdsm.system.atomic import write_json

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = new_parser("prepare", __doc__)
    parser.add_argument("--output", required=True, metavar="DIR")
    at_scale = [name for name in CASES if not name.startswith("small")]
    parser.add_argument("--cases", default=",".join(at_scale))
    parser.add_argument("--photographs", default="", metavar="FOLDER")
    flags = parser.parse_args(argv)

    def benchmark() -> None:
        names = chosen_names("--cases", flags.cases, CASES)
        load_tensorflow()
        os.makedirs(flags.output, exist_ok=True)
        prepare({name: CASES[name] for name in names}, flags.output, flags.photographs)

    return run_benchmark("prepare", benchmark)


def prepare(cases: dict[str, AcceleratorCase], folder: str, photographs: str = "") -> None:
    """Writes all files of some cases, beside those of others that are there.

    Args:
        cases: the cases by their names.
        folder: where the files are written.
        photographs: a folder of the photographs to be trained on, if the recipe trains on patches;
            empty: those of the recipe.
    """
    path = os.path.join(folder, "cases.json")
    descriptions = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            descriptions = json.load(file)
    for name, case in cases.items():
        print(name, flush=True)
        descriptions[name] = _prepare_case(name, case, folder, photographs)
        write_json(descriptions, path)


def _prepare_case(
    name: str, case: AcceleratorCase, folder: str, photographs: str
) -> dict[str, Any]:
    """Writes the programs of one case; returns what `run` needs to know of it."""
    import tensorflow as tf

    from benchmarks.accelerator.inputs import read_batches, write_inputs
    from benchmarks.recipes import load_recipe
    from tf_mdsm.config.overrides import with_overrides
    from tf_mdsm.datasets.image_statistics import fit_statistics
    from tf_mdsm.datasets.pixels import to_float
    from tf_mdsm.runs.build_data import image_shape

    # The rule is part of the lowered program; on a CPU it changes nothing.
    tf.config.experimental.enable_tensor_float_32_execution(case.tensor_float_32)
    config = with_overrides(load_recipe(case.recipe), case.overrides)
    if config.data.patches and photographs:
        config.data.update(source="folder", path=os.path.abspath(photographs))
    images = _images(config, case)
    model, variables = _build(config)
    states = _describe_state(variables)
    _assign(variables, fill_all(states))
    batch_shape = (config.training.batch_size, *image_shape(config))
    _lower_training(name, case, model, variables, tf.TensorSpec(batch_shape, images.dtype), folder)
    files = None if case.random_images else write_inputs(config, images, folder)
    if case.samples:
        _lower_samplers(name, case, config, model, variables, fit_statistics(images), folder)
    if case.checked_steps and files:
        batches = read_batches(folder, files, config.data.image_size)(0, case.checked_steps)
        expected = _expected(model, variables, [to_float(tf.constant(b)) for b in batches])
        np.savez(os.path.join(folder, f"expected_{name}.npz"), **expected)
    return {
        "config": json.loads(config.to_json()),
        "batch_shape": batch_shape,
        "inputs": files,
        "steps_per_call": case.steps_per_call,
        "samples": case.samples,
        "chain_steps": case.chain_steps,
        "state": states,
    }


def _images(config, case: AcceleratorCase) -> Any:
    """What batches are drawn from; or random numbers, of which only the times are measured."""
    from tf_mdsm.runs.build_data import build_run_images, image_shape

    if not case.random_images:
        return build_run_images(config).drawn_from
    shape = (config.training.batch_size, *image_shape(config))
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def _build(config) -> tuple[Any, dict[str, Any]]:
    """The compiled model of a recipe, and its variables by names that are all different.

    The number of steps of the learning rate's schedule is a variable too: `run` sets it.
    """
    import keras

    from tf_mdsm.runs.build_model import build_model, build_optimizer

    model = build_model(config)
    optimizer: Any = build_optimizer(config)
    model.compile(optimizer)
    variables = {f"network/{v.path}": v for v in model.network.variables}
    if model.ema_network is not None:
        variables |= {f"ema/{v.path}": v for v in model.ema_network.variables}
    variables |= {f"optimizer/{v.path}": v for v in optimizer.variables}
    variables |= {f"metrics/{v.path}": v for m in model.metrics for v in m.variables}
    schedule = getattr(optimizer, "_learning_rate", None)
    schedule = getattr(schedule, "schedule", schedule)
    if isinstance(schedule, keras.optimizers.schedules.CosineDecay):
        num_steps = keras.Variable(config.training.num_steps, dtype="float32", trainable=False)
        schedule.decay_steps = num_steps
        variables["schedule/num_steps"] = num_steps
    return model, variables


def _describe_state(variables: dict[str, Any]) -> list[dict[str, Any]]:
    """How NumPy makes each variable's initial value (initial_state.py)."""
    states, fan_in = [], None
    for index, (name, variable) in enumerate(variables.items()):
        if name.startswith("ema/"):
            original = name.replace("ema/", "network/", 1)
            states.append({"name": name, "same_as": original})
            continue
        if "kernel" in name:
            fan_in = int(np.prod(variable.shape[:-1]))
        # A bias is uniform in the same range as the kernel before it.
        states.append(describe_fill(name, variable.numpy(), fan_in, index))
    return states


def _assign(variables: dict[str, Any], state: dict[str, np.ndarray]) -> None:
    for name, variable in variables.items():
        variable.assign(state[name])


def _lower_training(
    name: str,
    case: AcceleratorCase,
    model,
    variables: dict[str, Any],
    batch: Any,
    folder: str,
) -> None:
    """Lowers `CASE_train`: batches of images and a number of steps to losses and state.

    Args:
        name: the case's name.
        case: the case.
        model: the compiled model.
        variables: all variables by their names.
        batch: shape and dtype of the images of one step, a `tf.TensorSpec`.
        folder: where the program is written.
    """
    import tensorflow as tf

    from benchmarks.accelerator.lowering import lower
    from tf_mdsm.datasets.pixels import to_float

    def train(batches, num_steps):
        def step(i, history):
            logs = model.train_step(to_float(batches[i]))
            return i + 1, history.write(i, tf.stack([logs["loss"], logs["gradient_norm"]]))

        history = tf.TensorArray(tf.float32, case.steps_per_call)
        _, history = tf.while_loop(lambda i, _: i < num_steps, step, (tf.constant(0), history))
        return {"history": tf.ensure_shape(history.stack(), [case.steps_per_call, 2])}

    lower(
        train,
        {
            "batches": tf.TensorSpec([case.steps_per_call, *batch.shape], batch.dtype),
            "num_steps": tf.TensorSpec([], tf.int32),
        },
        variables,
        updates=[n for n in variables if not n.startswith("schedule/")],
        folder=folder,
        name=f"{name}_train",
    )


def _lower_samplers(
    name: str, case: AcceleratorCase, config, model, variables: dict[str, Any], statistics, folder
) -> None:
    """Lowers `CASE_heun`, and the paper's chain in three programs: start, steps, finish."""
    import keras
    import tensorflow as tf

    from benchmarks.accelerator.lowering import lower
    from benchmarks.recipes import with_sampling
    from tf_mdsm.runs.build_method import build_method

    seeds = tf.TensorSpec([case.samples], tf.int64)
    images = tf.TensorSpec([case.samples, *model.image_shape], tf.float32)
    heun_config = with_sampling(config, {"sampler": "heun", "start": "gaussian"})
    heun = build_method(heun_config, statistics)

    def draw(seeds):
        images = heun.sample(model, seeds)
        return {"images": images, "energies": model.energy(images)}

    lower(
        draw,
        {"seeds": seeds},
        variables,
        folder=folder,
        name=f"{name}_heun",
    )
    if not case.chain_steps:
        return
    chain_config = with_sampling(config, {"sampler": "annealed_langevin", "start": "isotropic"})
    chain = build_method(chain_config, None)

    def start(seeds):
        return {"images": chain.start_images(model, seeds)}

    # A variable: the compiler takes an argument that selects temperatures for a constant.
    first = keras.Variable(0, dtype="int32", trainable=False)

    def steps(images, seeds):
        images, energies = chain.advance(model, images, seeds, first.value, case.chain_steps)
        return {"images": images, "energies": energies}

    def finish(images):
        images = chain.finish(model, images)
        return {"images": images, "energies": model.energy(images)}

    parts = {
        "start": (start, {"seeds": seeds}),
        "steps": (steps, {"images": images, "seeds": seeds}),
        "finish": (finish, {"images": images}),
    }
    for part, (function, inputs) in parts.items():
        names = variables | {"first": first}
        lower(function, inputs, names, folder=folder, name=f"{name}_chain_{part}")


def _expected(model, variables: dict[str, Any], batches: list) -> dict[str, np.ndarray]:
    """Losses of the first steps, and numbers that identify the first step's gradients."""
    import tensorflow as tf

    step = tf.function(model.train_step, autograph=False)
    means, expected = [], {}
    for number, batch in enumerate(batches):
        logs = step(batch)
        means.append([float(logs["loss"]), float(logs["gradient_norm"])])
        if number == 0:
            momenta = {n: v.numpy() for n, v in variables.items() if n.endswith("_momentum")}
            expected |= projections(momenta)
    return expected | {"history": np.array(means, np.float32)}
