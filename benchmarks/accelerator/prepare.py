"""Writes the folder that `run` carries to an accelerator: compiled programs, images, expectations.

    python -m benchmarks prepare --output=DIR [--cases=res12,…]

Duration: three minutes on two cores for all cases; most of it are the training steps that
TensorFlow computes for comparison.

Writes: DIR/CASE_*.stablehlo.gz and .json, DIR/images.npz, DIR/order_BATCH.npy,
DIR/cases.json, DIR/expected_CASE.npz; 53 MB for all cases but `small`, whose images are others.

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

# Training steps whose images are written: as many as the folder has room for. Of large batches
# only the times are measured, so they need fewer.
_MAX_STEPS, _LARGE_BATCH, _FEW_STEPS = 60_000, 256, 100

# Steps whose images are computed at a time.
_ORDER_PART = 500


def main(argv: list[str]) -> int:
    """Runs the command; returns its exit status."""
    parser = new_parser("prepare", __doc__)
    parser.add_argument("--output", required=True, metavar="DIR")
    at_scale = [name for name in CASES if name != "small"]
    parser.add_argument("--cases", default=",".join(at_scale))
    flags = parser.parse_args(argv)

    def benchmark() -> None:
        names = chosen_names("--cases", flags.cases, CASES)
        load_tensorflow()
        os.makedirs(flags.output, exist_ok=True)
        prepare({name: CASES[name] for name in names}, flags.output)

    return run_benchmark("prepare", benchmark)


def prepare(cases: dict[str, AcceleratorCase], folder: str) -> None:
    """Writes all files of some cases, beside those of others that are there."""
    path = os.path.join(folder, "cases.json")
    descriptions = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            descriptions = json.load(file)
    for name, case in cases.items():
        print(name, flush=True)
        descriptions[name] = _prepare_case(name, case, folder)
        write_json(descriptions, path)


def _prepare_case(name: str, case: AcceleratorCase, folder: str) -> dict[str, Any]:
    """Writes the programs of one case; returns what `run` needs to know of it."""
    import tensorflow as tf

    from benchmarks.recipes import load_recipe
    from tf_mdsm.config.overrides import with_overrides
    from tf_mdsm.datasets.image_statistics import fit_statistics

    # The rule is part of the lowered program; on a CPU it changes nothing.
    tf.config.experimental.enable_tensor_float_32_execution(case.tensor_float_32)
    config = with_overrides(load_recipe(case.recipe), case.overrides)
    batch_size = config.training.batch_size
    images = _images(config, case)
    model, variables = _build(config)
    states = _describe_state(variables)
    _assign(variables, fill_all(states))
    _lower_training(name, case, model, variables, batch_size, images, folder)
    if not case.random_images:
        order = _write_images(images, batch_size, config.seed, folder)
        if case.samples:
            _lower_samplers(name, case, config, model, variables, fit_statistics(images), folder)
        if case.checked_steps:
            batches = [tf.constant(images[rows]) for rows in order[: case.checked_steps]]
            expected = _expected(model, variables, batches)
            np.savez(os.path.join(folder, f"expected_{name}.npz"), **expected)
    return {
        "config": json.loads(config.to_json()),
        "image_shape": list(model.image_shape),
        "batch_size": batch_size,
        "random_images": case.random_images,
        "steps_per_call": case.steps_per_call,
        "samples": case.samples,
        "chain_steps": case.chain_steps,
        "state": states,
    }


def _images(config, case: AcceleratorCase) -> np.ndarray:
    """The training images; or a batch of random numbers, of which only the times are measured."""
    from tf_mdsm.runs.build_data import build_images, image_shape

    if not case.random_images:
        return build_images(config)[0]
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
    batch_size: int,
    images: np.ndarray,
    folder: str,
) -> None:
    """Lowers `CASE_train`: batches of images and a number of steps to losses and state."""
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
            "batches": tf.TensorSpec(
                [case.steps_per_call, batch_size, *images.shape[1:]], images.dtype
            ),
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


def _write_images(images: np.ndarray, batch_size: int, seed: int, folder: str) -> np.ndarray:
    """Writes `images.npz` and `order_BATCH.npy`, unless they are there.

    Returns:
        the order: indices of each step's images, [steps, batch_size].
    """
    path = os.path.join(folder, "images.npz")
    if not os.path.exists(path):
        np.savez_compressed(path, images=images)
    path = os.path.join(folder, f"order_{batch_size}.npy")
    if not os.path.exists(path):
        num_steps = _FEW_STEPS if batch_size > _LARGE_BATCH else _MAX_STEPS
        np.save(path, _order(len(images), batch_size, num_steps, seed))
    return np.load(path)


def _order(num_images: int, batch_size: int, num_steps: int, seed: int) -> np.ndarray:
    """Indices of the images of each step's batch, uint16 [num_steps, batch_size]."""
    import tensorflow as tf

    from tf_mdsm.datasets.batches import image_indices

    @tf.function(autograph=False)
    def part(first):
        counter = first * batch_size + tf.range(_ORDER_PART * batch_size, dtype=tf.int64)
        return image_indices(counter, num_images, seed)

    firsts = range(0, num_steps, _ORDER_PART)
    indices = [part(tf.constant(first, tf.int64)).numpy() for first in firsts]
    return np.concatenate(indices).reshape(-1, batch_size)[:num_steps].astype(np.uint16)


def _expected(model, variables: dict[str, Any], batches: list) -> dict[str, np.ndarray]:
    """Losses of the first steps, and numbers that identify the first step's gradients."""
    import tensorflow as tf

    from tf_mdsm.datasets.pixels import to_float

    step = tf.function(model.train_step, autograph=False)
    means, expected = [], {}
    for number, batch in enumerate(batches):
        logs = step(to_float(batch))
        means.append([float(logs["loss"]), float(logs["gradient_norm"])])
        if number == 0:
            momenta = {n: v.numpy() for n, v in variables.items() if n.endswith("_momentum")}
            expected |= projections(momenta)
    return expected | {"history": np.array(means, np.float32)}
