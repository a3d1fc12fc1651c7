"""Runs a StableHLO export without TensorFlow: needs NumPy and jaxlib only.

    from tf_mdsm.serving import StableHloModel

    model = StableHloModel("runs/digits/export/stablehlo/1")
    images, energy = model.sample(seeds=range(16))

The folder holds one portable StableHLO program for each signature and batch size, their weights,
and `model.json`, which names everything.
"""

# jaxlib's modules have no types.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import dataclasses
import functools
import json
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.serving.requests import EnergyRequests
from tf_mdsm.system.npz import read_npz_arrays

__all__ = [
    "FORMAT",
    "MODEL_FILE",
    "WEIGHTS_FILE",
    "StableHloModel",
    "StableHloProgram",
    "processor",
]

# Version of the folder's layout, and names of its files besides the programs.
FORMAT = 1
MODEL_FILE, WEIGHTS_FILE = "model.json", "weights.npz"

# Copying an array takes milliseconds. If a later jaxlib does not copy, calls go on after this time.
_COPY_SECONDS = 1.0


class StableHloModel(EnergyRequests):
    """A trained energy and its sampler, compiled from a StableHLO export.

    More images than the largest exported batch are computed one batch after the other; a batch
    that is not full is filled up, and the surplus is dropped. A program is compiled at its first
    use, and the weights are copied to the device once.

    Args:
        folder: what `--mode=export --config.export.format=stablehlo` wrote.
        device: where to compute, a device of JAX, `jax.devices("gpu")[0]`. None: the processor,
            for which JAX itself is not needed.

    Attributes:
        description: the content of `model.json`: provenance, and every program's arguments,
            weights and outputs with shapes and dtypes.

    Raises:
        InvalidArgument: if the folder holds no such export, or one of a later version.
    """

    def __init__(self, folder: str | os.PathLike, device: Any = None):
        self.description = _read_description(folder)
        self._folder = os.fspath(folder)
        self._device = device or processor()
        self._compiled: dict[str, StableHloProgram] = {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the model's images."""
        height, width, channels = self.description["image_shape"]
        return height, width, channels

    def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> dict[str, np.ndarray]:
        programs = [
            program for program in self.description["programs"] if program["signature"] == signature
        ]
        if not programs:
            raise InvalidArgument("signature", "be one that was exported", signature)
        count = len(next(iter(inputs.values())))
        parts, first = [], 0
        while first < count:
            program = _best_fit(programs, count - first)
            last = min(first + program["batch_size"], count)
            part = {
                name: _filled_up(array[first:last], program["batch_size"])
                for name, array in inputs.items()
            }
            outputs = self._program(program)(part)
            parts.append({name: np.asarray(outputs[name])[: last - first] for name in shapes})
            first = last
        return {name: np.concatenate([part[name] for part in parts]) for name in shapes}

    @functools.cached_property
    def _weights(self) -> dict[str, Any]:
        """The weights on the device, by name."""
        path = os.path.join(self._folder, WEIGHTS_FILE)
        arrays = read_npz_arrays(path, list(self.description["weights"]))
        return {name: _to_device(array, self._device) for name, array in arrays.items()}

    def _program(self, program: Mapping[str, Any]) -> "StableHloProgram":
        """A program of the description, compiled at the first call."""
        name = program["file"]
        if name not in self._compiled:
            path = os.path.join(self._folder, name)
            constants = {weight: self._weights[weight] for weight in program["weights"]}
            try:
                with open(path, "rb") as file:
                    artifact = file.read()
                self._compiled[name] = StableHloProgram.compile(
                    artifact,
                    inputs=[*program["arguments"], *program["weights"]],
                    outputs=program["outputs"],
                    constants=constants,
                    device=self._device,
                )
            except (OSError, ValueError, RuntimeError) as error:
                raise RunError(f"{path} cannot be compiled ({one_line(error)})") from error
        return self._compiled[name]


@dataclasses.dataclass(frozen=True)
class StableHloProgram:
    """A compiled StableHLO program: from named arrays to named arrays, on one device.

    Attributes:
        inputs: names of the inputs, in the program's order.
        outputs: names of the outputs, in the program's order.
        constants: inputs that are always the same.
        executable: the compiled program.
        device: where it runs.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, Any]
    executable: Any
    device: Any

    @classmethod
    def compile(
        cls,
        artifact: bytes,
        *,
        inputs: Sequence[str],
        outputs: Sequence[str],
        constants: Mapping[str, Any],
        device: Any,
    ) -> "StableHloProgram":
        """Compiles a portable artifact (`stablehlo_lowering`) for a device.

        Raises:
            ValueError: if it is none, or of a later version than this jaxlib knows.
            RuntimeError: if the device's compiler fails.
        """
        from jaxlib import xla_client
        from jaxlib.mlir import ir
        from jaxlib.mlir.dialects import stablehlo

        with ir.Context() as context:
            module = stablehlo.deserialize_portable_artifact(context, artifact)
            executable = device.client.compile_and_load(
                module, xla_client.DeviceList((device,)), xla_client.CompileOptions()
            )
        return cls(tuple(inputs), tuple(outputs), constants, executable, device)

    def __call__(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Runs the program; returns its outputs on the device, which may still be computed.

        After the named outputs, a program that changes variables returns all their new values.

        Args:
            arrays: all inputs but the constants, and possibly others; NumPy arrays are copied to
                the device.
        """
        arrays = {**self.constants, **arrays}
        buffers = [_to_device(arrays[name], self.device) for name in self.inputs]
        results = self.executable.execute_sharded(buffers)
        by_output = results.disassemble_into_single_device_arrays()
        return {name: shards[0] for name, shards in zip(self.outputs, by_output, strict=False)}


def _to_device(array: Any, device: Any) -> Any:
    """An array on a device, in its own dtype; what is on a device stays there."""
    from jaxlib import _jax

    if isinstance(array, _jax.ArrayImpl):
        return array
    if device.platform == "cpu":
        source, copied = _unaligned_copy(np.asarray(array)), threading.Event()
        weakref.finalize(source, copied.set)
        buffer = _jax.dlpack_managed_tensor_to_buffer(source.__dlpack__(), device, None)
        del source
        # XLA lets go of NumPy's memory in a thread of its own, for which it asks for Python's lock.
        # If Python is ending just then, the whole process is aborted.
        copied.wait(_COPY_SECONDS)
        return buffer
    import jax

    with jax.enable_x64(True):
        return jax.device_put(array, device)


def _unaligned_copy(array: np.ndarray) -> np.ndarray:
    """A copy at an address that is no multiple of 64, as XLA copies such memory at once.

    It would use other memory as it is, for as long as the programs that read it run.
    """
    space = np.empty(array.nbytes + 128, np.uint8)
    first = -space.ctypes.data % 64 + 16
    copy = space[first : first + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def processor() -> Any:
    """The processor as a device of XLA."""
    try:
        from jaxlib import xla_client
    except ImportError as error:
        requirement = "be run with jaxlib, which is not installed (pip install jaxlib)"
        raise InvalidArgument("folder", requirement, "no jaxlib") from error
    return xla_client.make_cpu_client().devices()[0]


def _read_description(folder: str | os.PathLike) -> dict[str, Any]:
    """The content of an export's `model.json`."""
    path = os.path.join(folder, MODEL_FILE)
    requirement = "be a StableHLO export of tf_mdsm"
    try:
        with open(path, encoding="utf-8") as file:
            description = json.load(file)
        found = description["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidArgument("folder", requirement, f"{path} ({one_line(error)})") from error
    if found != FORMAT:
        requirement = f"hold an export of format {FORMAT}"
        raise InvalidArgument("folder", requirement, f"{path} of format {found}")
    return description


def _best_fit(programs: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """The program of the smallest batch that holds so many images, or of the largest batch."""
    by_size = sorted(programs, key=lambda program: program["batch_size"])
    return next((each for each in by_size if each["batch_size"] >= count), by_size[-1])


def _filled_up(array: np.ndarray, size: int) -> np.ndarray:
    """Rows [size, ...]: the given ones, then copies of the last one."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
