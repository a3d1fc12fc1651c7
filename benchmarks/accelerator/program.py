"""Runs a StableHLO program with NumPy and JAX's runtime, without TensorFlow."""

import dataclasses
import gzip
import json
import os
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxlib import xla_client
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

__all__ = ["Program", "load_program"]

# Steps, seeds and random bits are integers of 64 bits.
jax.config.update("jax_enable_x64", True)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program: from named arrays to named arrays, all on one device.

    Attributes:
        inputs: names of the inputs, in their order.
        outputs: names of the outputs, in their order.
        executable: the compiled program.
        device: where it runs.
        constants: inputs that are always the same.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    executable: Any
    device: jax.Device
    constants: Mapping[str, jax.Array]

    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Runs the program; returns at once, while the device works.

        Args:
            arrays: all inputs, and possibly others; NumPy arrays are copied to the device.
        """
        arrays = {**self.constants, **arrays}
        buffers = [jax.device_put(arrays[name], self.device) for name in self.inputs]
        results = self.executable.execute_sharded(buffers)
        by_output = results.disassemble_into_single_device_arrays()
        return {name: shards[0] for name, shards in zip(self.outputs, by_output, strict=False)}

    @property
    def peak_mib(self) -> float:
        """Memory of arguments, results and intermediate values, by the compiler's own count."""
        stats = self.executable.get_compiled_memory_stats()
        size = stats.argument_size_in_bytes + stats.output_size_in_bytes
        return (size + stats.temp_size_in_bytes) / 2**20


def load_program(folder: str, name: str) -> Program:
    """Reads a program's files (`lowering.lower`), and compiles it for the first device."""
    with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as file:
        description = json.load(file)
    with gzip.open(os.path.join(folder, f"{name}.stablehlo.gz")) as file:
        artifact = file.read()
    device = jax.devices()[0]
    with ir.Context() as context:
        module = stablehlo.deserialize_portable_artifact(context, artifact)
        executable = device.client.compile_and_load(
            module, xla_client.DeviceList((device,)), xla_client.CompileOptions()
        )
    constants = {}
    path = os.path.join(folder, f"{name}.npz")
    if os.path.exists(path):
        with np.load(path) as arrays:
            constants = {key: jax.device_put(arrays[key], device) for key in arrays.files}
    return Program(
        inputs=tuple(description["inputs"]),
        outputs=tuple(description["outputs"]),
        executable=executable,
        device=device,
        constants=constants,
    )
