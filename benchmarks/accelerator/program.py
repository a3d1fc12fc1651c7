"""Reads the programs that `lowering` wrote, with JAX's devices and without TensorFlow."""

import gzip
import json
import os

import jax
import numpy as np

from tf_mdsm.serving.stablehlo_model import StableHloProgram

__all__ = ["load_program", "peak_mib"]

# Steps, seeds and random bits are integers of 64 bits.
jax.config.update("jax_enable_x64", True)


def load_program(folder: str, name: str) -> StableHloProgram:
    """Reads a program's files (`lowering.lower`), and compiles it for the first device."""
    with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as file:
        description = json.load(file)
    with gzip.open(os.path.join(folder, f"{name}.stablehlo.gz")) as file:
        artifact = file.read()
    device = jax.devices()[0]
    constants = {}
    path = os.path.join(folder, f"{name}.npz")
    if os.path.exists(path):
        with np.load(path) as arrays:
            constants = {key: jax.device_put(arrays[key], device) for key in arrays.files}
    return StableHloProgram.compile(
        artifact,
        inputs=description["inputs"],
        outputs=description["outputs"],
        constants=constants,
        device=device,
    )


def peak_mib(program: StableHloProgram) -> float:
    """Memory of arguments, results and intermediate values, by the compiler's own count."""
    stats = program.executable.get_compiled_memory_stats()
    size = stats.argument_size_in_bytes + stats.output_size_in_bytes
    return (size + stats.temp_size_in_bytes) / 2**20
