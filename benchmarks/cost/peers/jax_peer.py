"""The paper's networks, loss and Langevin step in JAX: nested `jax.grad` in one `jax.jit`.

This is our own code; it shares the mathematics with tf_mdsm, and no code.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks.cost.peers.case import Case
from tf_mdsm.networks.architectures import RESNET_STAGES

__all__ = ["MODES", "compute_loss", "energies", "initial_weights", "prepare"]

MODES = ("jit",)


def _convolution(weights: dict, name: str, x: jax.Array) -> jax.Array:
    y = jax.lax.conv_general_dilated(
        x,
        weights[f"{name}/kernel"],
        window_strides=(1, 1),
        padding="SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + weights[f"{name}/bias"] if f"{name}/bias" in weights else y


def _halve(x: jax.Array) -> jax.Array:
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def _blocks(case: Case) -> list[tuple[str, bool]]:
    """Names of the residual blocks, and whether each halves the image."""
    return [
        (f"stage{stage}_block{block}", block == 0)
        for stage, extra_blocks in enumerate(RESNET_STAGES[case.network], start=1)
        for block in range(extra_blocks + 1)
    ]


def energies(weights: dict, case: Case, x: jax.Array) -> jax.Array:
    """Images [B, H, W, C] to energies [B], with the quadratic head."""
    x = _convolution(weights, "stem", x)
    for name, halves in _blocks(case):
        y = _convolution(weights, f"{name}_conv1", jax.nn.elu(x))
        y = _convolution(weights, f"{name}_conv2", jax.nn.elu(y))
        if halves:
            x, y = _halve(x), _halve(y)
        x = y + _convolution(weights, f"{name}_shortcut", x)
    h = x.reshape(len(x), -1)
    first, second = (h @ weights[f"kernel_{n}"] + weights[f"bias_{n}"] for n in (1, 2))
    return (first * second + (h * h) @ weights["kernel_square"]).squeeze(-1)


def initial_weights(case: Case) -> dict[str, jax.Array]:
    """Weights by the names of tf_mdsm's layers, uniform in +-1/sqrt(fan_in)."""
    height, width, colors = case.image_shape
    shapes = {"stem": (3, 3, colors, case.channels)}
    filters = case.channels
    for name, halves in _blocks(case):
        filters_out = 2 * filters if halves else filters
        shapes[f"{name}_conv1"] = (3, 3, filters, filters)
        shapes[f"{name}_conv2"] = (3, 3, filters, filters_out)
        shapes[f"{name}_shortcut"] = (1, 1, filters, filters_out)
        filters = filters_out
    factor = 2 ** len(RESNET_STAGES[case.network])
    size = filters * (height // factor) * (width // factor)
    keys = iter(jax.random.split(jax.random.key(0), 2 * len(shapes) + 5))

    def uniform(shape: tuple[int, ...], fan_in: int) -> jax.Array:
        limit = 1 / math.sqrt(fan_in)
        return jax.random.uniform(next(keys), shape, minval=-limit, maxval=limit)

    weights = {}
    for name, shape in shapes.items():
        weights[f"{name}/kernel"] = uniform(shape, math.prod(shape[:3]))
        if not name.endswith("conv1"):
            weights[f"{name}/bias"] = uniform(shape[3:], math.prod(shape[:3]))
    for number in (1, 2):
        weights[f"kernel_{number}"] = uniform((size, 1), size)
        weights[f"bias_{number}"] = uniform((1,), size)
    weights["kernel_square"] = uniform((size, 1), size)
    return weights


def compute_loss(weights: dict, case: Case, clean, noisy, sigma) -> jax.Array:
    """The normalized loss divided by sigma0^4."""
    gradient = jax.grad(lambda x: energies(weights, case, x).sum())(noisy)
    residual = clean - noisy + case.sigma0**2 * gradient
    each = jnp.square(residual).sum((1, 2, 3)) / sigma**2
    return each.mean() / case.sigma0**4


def prepare(case: Case, mode: str) -> dict[str, Callable[[int], None]]:
    """Jobs "train" and "langevin": functions that take a number of steps."""
    images = jax.random.uniform(jax.random.key(1), (case.batch_size, *case.image_shape))
    levels = jnp.geomspace(case.sigma_min, case.sigma_max, case.batch_size)
    weights = initial_weights(case)
    zeros = jax.tree.map(jnp.zeros_like, weights)
    state = {"train": (weights, zeros, zeros, jnp.int32(0)), "x": images, "steps": 0}

    @jax.jit
    def train_step(state):
        weights, means, squares, step = state
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(2), step), images.shape)
        noisy = images + levels[:, None, None, None] * noise
        gradients = jax.grad(compute_loss)(weights, case, images, noisy, levels)
        means = jax.tree.map(lambda m, g: m + (1 - case.beta_1) * (g - m), means, gradients)
        squares = jax.tree.map(lambda v, g: v + (1 - case.beta_2) * (g * g - v), squares, gradients)
        first, second = (1 - beta ** (step + 1) for beta in (case.beta_1, case.beta_2))

        def move(weight, mean, square):
            root = jnp.sqrt(square / second) + case.epsilon
            return weight - case.learning_rate * mean / first / root

        return jax.tree.map(move, weights, means, squares), means, squares, step + 1

    @jax.jit
    def langevin_step(weights, x, step):
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(3), step), x.shape)
        gradient = jax.grad(lambda y: energies(weights, case, y).sum())(x)
        size = case.langevin_step_size
        return x - 0.5 * size**2 * gradient + size * case.temperature**0.5 * noise

    def train(steps: int) -> None:
        for _ in range(steps):
            state["train"] = train_step(state["train"])
        jax.block_until_ready(state["train"])

    def langevin(steps: int) -> None:
        for _ in range(steps):
            state["x"] = langevin_step(weights, state["x"], state["steps"])
            state["steps"] += 1
        jax.block_until_ready(state["x"])

    return {"train": train, "langevin": langevin}
