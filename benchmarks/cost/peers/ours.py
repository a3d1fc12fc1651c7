"""tf_mdsm's own training step and Langevin step, as its runs execute them."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from benchmarks.cost.peers.case import Case
from tf_mdsm import randomness
from tf_mdsm.energy_model import EnergyModel
from tf_mdsm.networks.build import build_network
from tf_mdsm.noise import NoiseLevels
from tf_mdsm.training.compiled_loop import compile_steps
from tf_mdsm.training.optimizers import Adam

__all__ = ["MODES", "prepare"]

MODES = (
    "float32",
    "float32, cores together",
    "float32, untuned",
    "mixed_bfloat16",
    "float32, XLA",
)


def prepare(case: Case, mode: str) -> dict[str, Callable[[int], None]]:
    """Jobs "train" and "langevin": functions that take a number of steps in one call.

    Args:
        case: network and batch.
        mode: a precision, and possibly an option after a comma: "XLA"; the number of micro-batches
            of an update ("float32, 4 parts"); "cores together", where worker.py does not call
            `compute_parts_at_once`; "untuned", where it does not call `tune_process` either.
    """
    precision, _, option = mode.partition(", ")
    xla = option == "XLA"
    parts = int(option.split()[0]) if option.endswith("parts") else 1
    network = build_network(case.network, case.image_shape, case.channels, precision=precision)
    noise = NoiseLevels(case.sigma_min, case.sigma_max, case.batch_size, "geometric", case.sigma0)
    model = EnergyModel(network, noise, compile_gradients=xla, accumulation_steps=parts)
    model.compile(Adam(case.learning_rate, case.beta_1, case.beta_2, case.epsilon))
    shape = (case.batch_size, *case.image_shape)
    images = tf.constant(np.random.default_rng(0).uniform(size=shape), tf.float32)
    batches = iter(tf.data.Dataset.from_tensors(images).repeat())
    run_steps = compile_steps(model)
    state = {"x": images, "step": 0}
    seeds = tf.range(case.batch_size, dtype=tf.int64)

    @tf.function(autograph=False, jit_compile=xla)
    def langevin_steps(x, first, count):
        def step(i, x):
            _, score = model.energy_and_score(x)
            noise = randomness.normal(seeds, (first + i, 0), "langevin", case.image_shape)
            drift = 0.5 * case.langevin_step_size**2 * score
            return i + 1, x + drift + case.langevin_step_size * case.temperature**0.5 * noise

        return tf.while_loop(lambda i, _: i < count, step, (tf.constant(0, tf.int64), x))[1]

    def train(steps: int) -> None:
        run_steps(batches, tf.constant(steps)).numpy()

    def langevin(steps: int) -> None:
        first = tf.constant(state["step"], tf.int64)
        state["x"] = langevin_steps(state["x"], first, tf.constant(steps, tf.int64))
        state["step"] += steps
        state["x"].numpy()

    return {"train": train, "langevin": langevin}
