"""What `run` does on an accelerator, each in a process of its own: NumPy and JAX, no TensorFlow.

    python -m benchmarks.accelerator.jobs NAME FOLDER OUTPUT SECONDS

Every finding is printed at once, as one line of JSON; so a job that is stopped has told what it
found until then.
"""

import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from benchmarks.accelerator.findings import summary, tell, time_in_turns
from benchmarks.accelerator.initial_state import fill_all
from benchmarks.accelerator.inputs import read_batches
from benchmarks.accelerator.program import load_program, peak_mib
from benchmarks.accelerator.projections import projections
from tf_mdsm.serving.stablehlo_model import StableHloProgram

__all__ = ["run_job"]

# Share of a job's time that may be spent on training, with sampling after it and without; and calls
# of which the time of one is measured.
_TRAINING_SHARE, _TRAINING_SHARE_WITHOUT_SAMPLING, _TRIAL_CALLS = 0.6, 0.9, 10

# Largest file that is written: larger arrays are divided.
_MAX_FILE_BYTES = 15 * 2**20


def run_job(argv: list[str]) -> int:
    """Runs the job `KIND:CASE`; returns 0."""
    job, folder, output, seconds = argv[0], argv[1], argv[2], float(argv[3])
    kind, _, case = job.partition(":")
    JOBS[kind](Case(case, folder, output, time.monotonic() + seconds))
    return 0


class Case:
    """A case of the folder: its description, its state on the device, its batches.

    Args:
        name: the case.
        folder: what `prepare` wrote.
        output: where trained weights and images are written.
        deadline: when the job must have ended, by `time.monotonic`.
    """

    def __init__(self, name: str, folder: str, output: str, deadline: float):
        self.name, self.folder, self.output, self.deadline = name, folder, output, deadline
        with open(os.path.join(folder, "cases.json"), encoding="utf-8") as file:
            self.facts = json.load(file)[name]
        self.state: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Returns to the initial state."""
        initial = fill_all(self.facts["state"])
        self.state = {name: jax.device_put(array) for name, array in initial.items()}

    def seconds_left(self) -> float:
        """Time until the job must have ended."""
        return self.deadline - time.monotonic()

    def load(self, part: str) -> StableHloProgram:
        """Loads and compiles a program of the case, and tells how long that took."""
        start = time.monotonic()
        program = load_program(self.folder, f"{self.name}_{part}")
        tell(program=part, compile_seconds=time.monotonic() - start, mib=peak_mib(program))
        return program

    def batches(self) -> Callable[[int], np.ndarray]:
        """A function from a step to the images of one call, [K, B, H, W, C]."""
        count, files = self.facts["steps_per_call"], self.facts["inputs"]
        if files is None:
            shape = (count, *self.facts["batch_shape"])
            random = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
            return lambda step: random
        read = read_batches(self.folder, files, self.facts["config"]["data"]["image_size"])
        return lambda step: read(step, count)

    def averages(self) -> dict[str, jax.Array]:
        """The averaged weights; the weights themselves, if no averages are kept."""
        prefix = "ema/" if any(name.startswith("ema/") for name in self.state) else "network/"
        return {name: array for name, array in self.state.items() if name.startswith(prefix)}

    def train(self, program: StableHloProgram, batches: np.ndarray, num_steps: int) -> jax.Array:
        """Trains; returns mean loss and gradient norm after each step of the call, [K, 2]."""
        state = {
            name: np.zeros(array.shape, array.dtype) if name.startswith("metrics/") else array
            for name, array in self.state.items()
        }
        results = program(state | {"batches": batches, "num_steps": np.int32(num_steps)})
        history = results.pop("history")
        self.state |= results
        return history


# Checks and times


def check_and_time(case: Case) -> StableHloProgram:
    """Compares with TensorFlow's numbers, trains twice alike, and times a training step.

    Returns:
        the training program.
    """
    program, batches = case.load("train"), case.batches()
    _check(case, program, batches(0))
    _time_training(case, program, batches(0))
    return program


def _check(case: Case, program: StableHloProgram, batches: np.ndarray) -> None:
    count = case.facts["steps_per_call"]
    # Twice from the same start: are all bits the same?
    states = []
    for _ in range(2):
        case.reset()
        history = np.asarray(case.train(program, batches, count))
        states.append({name: np.asarray(array) for name, array in case.state.items()})
    same = [name for name in states[0] if np.array_equal(states[0][name], states[1][name])]
    tell(
        check="determinism",
        steps=count,
        equal_arrays=len(same),
        arrays=len(states[0]),
        losses=(history[:, 0]).tolist()[:10],
    )
    path = os.path.join(case.folder, f"expected_{case.name}.npz")
    if not os.path.exists(path):
        return
    with np.load(path) as arrays:
        expected = dict(arrays)
    wanted = expected.pop("history")
    case.reset()
    momenta = _momenta_after_one_step(case, program, batches)
    case.reset()
    history = np.asarray(case.train(program, batches, len(wanted)))[: len(wanted)]
    errors = {}
    for name, numbers in projections(momenta).items():
        norm = expected[name][0]
        if norm:
            errors[name] = float(np.abs(numbers - expected[name]).max() / norm)
    worst = max(errors, key=errors.__getitem__)
    tell(
        check="against TensorFlow",
        mean_losses=history[:, 0].tolist(),
        expected_mean_losses=wanted[:, 0].tolist(),
        relative_error_of_losses=float(np.abs(history / wanted - 1)[:, 0].max()),
        relative_error_of_first_loss=float(abs(history[0, 0] / wanted[0, 0] - 1)),
        relative_error_of_gradients=statistics.median(errors.values()),
        worst_relative_error_of_gradients=errors[worst],
        worst_gradient=worst,
    )


def _momenta_after_one_step(case: Case, program: StableHloProgram, batches: np.ndarray) -> dict:
    case.train(program, batches, 1)
    names = [name for name in case.state if name.endswith("_momentum")]
    return {name: np.asarray(case.state[name]) for name in names}


def _time_training(case: Case, program: StableHloProgram, batches: np.ndarray) -> None:
    case.reset()
    count = case.facts["steps_per_call"]
    device_batches = jax.device_put(batches)

    def train(calls: int) -> None:
        for _ in range(calls):
            history = case.train(program, device_batches, count)
        history.block_until_ready()

    seconds = [value / count for value in time_in_turns(train)]
    rate = case.facts["batch_shape"][0] / statistics.median(seconds)
    tell(job="train", **summary(seconds), images_per_second=rate)


# Training and sampling


def train_and_sample(case: Case) -> None:
    """Checks, times, trains for the recipe's steps or a share of the time left, and samples.

    Writes the averaged weights at the end, and those of the guide if the recipe keeps one.
    """
    program = check_and_time(case)
    count, samples = case.facts["steps_per_call"], case.facts["samples"]
    start = time.monotonic()
    list(_train(case, program, _TRIAL_CALLS))
    seconds_per_call = (time.monotonic() - start) / _TRIAL_CALLS
    share = _TRAINING_SHARE if samples else _TRAINING_SHARE_WITHOUT_SAMPLING
    settings = case.facts["config"]["training"]
    calls = int(share * case.seconds_left() / seconds_per_call)
    calls = min(calls, settings["num_steps"] // count)
    losses, averages = [], case.averages()
    for last, averages in _train(case, program, calls):
        losses.append(last)
        if not math.isfinite(last[0]):
            tell(diverged_at=count * len(losses), losses=losses)
            return
        if count * len(losses) == settings["guide_step"]:
            _write_in_parts(averages, os.path.join(case.output, f"{case.name}_guide"))
    tell(trained_steps=count * len(losses), losses=losses)
    _write_in_parts(averages, os.path.join(case.output, f"{case.name}_weights"))
    if samples:
        for draw in (_draw_by_heun, _draw_by_chain):
            draw(case)


def _train(
    case: Case, program: StableHloProgram, calls: int
) -> Iterator[tuple[list[float], dict[str, jax.Array]]]:
    """Trains from the start; yields a call's last loss and gradient norm, and the averages then.

    The device computes the next call meanwhile.
    """
    case.reset()
    count, batches = case.facts["steps_per_call"], case.batches()
    if "schedule/num_steps" in case.state:
        case.state["schedule/num_steps"] = np.float32(calls * count)
    start = time.monotonic()
    pending = None
    for call in range(calls):
        history = case.train(program, batches(call * count), count)
        if pending is not None:
            yield _last(pending[0]), pending[1]
        pending = history, case.averages()
    if pending is not None:
        yield _last(pending[0]), pending[1]
    tell(training_seconds=time.monotonic() - start)


def _last(history: jax.Array) -> list[float]:
    loss, norm = np.asarray(history)[-1].tolist()
    return [round(loss, 3), round(norm, 3)]


def _draw_by_heun(case: Case) -> None:
    """Writes 10,000 images by Heun's method."""
    program, count = case.load("heun"), case.facts["samples"]
    start = time.monotonic()
    images = [
        np.asarray(program(case.state | {"seeds": _seeds(first, count)})["images"])
        for first in range(0, 10_000, count)
    ]
    seconds = time.monotonic() - start
    _write_images(case, "heun", images)
    tell(drawn_by="heun", images=count * len(images), seconds=seconds)


def _draw_by_chain(case: Case) -> None:
    """Times a Langevin step, and writes images by the paper's chain as long as there is time."""
    size = case.facts["chain_steps"]
    if not size:
        return
    start, steps, finish = (case.load(f"chain_{part}") for part in ("start", "steps", "finish"))
    sampling, count = case.facts["config"]["sampling"], case.facts["samples"]
    total = sampling["hot_steps"] + sampling["cooling_steps"] + sampling["final_steps"]
    state = case.state | {"seeds": _seeds(0, count)}
    state |= start(state)

    seconds: list[float] = []

    def advance(state: dict[str, Any], first: int) -> dict[str, Any]:
        begun = time.monotonic()
        state = state | steps(state | {"first": np.int32(first)})
        state["images"].block_until_ready()
        seconds.append((time.monotonic() - begun) / size)
        return state

    advance(state, 0)
    seconds.clear()
    advance(state, 0)
    images, begun = [], time.monotonic()
    while len(images) * count < 10_000:
        if case.seconds_left() < 1.05 * statistics.median(seconds) * total + 5:
            break
        state = case.state | {"seeds": _seeds(len(images) * count, count)}
        state |= start(state)
        for first in range(0, total, size):
            state = advance(state, first)
        images.append(np.asarray(finish(state)["images"]))
    tell(job="langevin", **summary(seconds), images=count)
    if images:
        _write_images(case, "chain", images)
    tell(drawn_by="chain", images=count * len(images), seconds=time.monotonic() - begun)


def _seeds(first: int, count: int) -> np.ndarray:
    return first + np.arange(count, dtype=np.int64)


def _write_images(case: Case, sampler: str, images: list[np.ndarray]) -> None:
    pixels = np.concatenate(images)
    tell(not_finite=int((~np.isfinite(pixels).all((1, 2, 3))).sum()))
    pixels = np.round(np.clip(np.nan_to_num(pixels, nan=0.5), 0, 1) * 255).astype(np.uint8)
    path = os.path.join(case.output, f"{case.name}_{sampler}.npz")
    np.savez_compressed(path, images=pixels)


def _write_in_parts(arrays: Mapping[str, jax.Array], stem: str) -> None:
    """Writes all numbers, array after array, to `STEM_0.npy`, `STEM_1.npy`, …: small files."""
    numbers = np.concatenate([np.asarray(array).ravel() for array in arrays.values()])
    size = _MAX_FILE_BYTES // numbers.itemsize
    for number, first in enumerate(range(0, numbers.size, size)):
        np.save(f"{stem}_{number}.npy", numbers[first : first + size])


def describe(case: Case) -> None:
    """Tells what device and software there are."""
    device = jax.devices()[0]
    tell(device=device.device_kind, platform=device.platform, jax=jax.__version__)


JOBS: dict[str, Callable[[Case], Any]] = {
    "describe": describe,
    "time": check_and_time,
    "train": train_and_sample,
}

if __name__ == "__main__":
    sys.exit(run_job(sys.argv[1:]))
