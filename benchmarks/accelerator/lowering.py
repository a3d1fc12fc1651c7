"""Lowers functions of TensorFlow to StableHLO, with names for all inputs and outputs."""
# pyright: reportAttributeAccessIssue=false
# (jaxlib's modules are not annotated)

import gzip
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from jax.interpreters import mlir
from jaxlib import _jax
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo

__all__ = ["lower"]


def lower(
    function: Callable[..., Mapping[str, tf.Tensor]],
    inputs: Mapping[str, tf.TensorSpec],
    variables: Mapping[str, Any],
    *,
    updates: Sequence[str] = (),
    folder: str,
    name: str,
) -> None:
    """Lowers a function to `NAME.stablehlo.gz`, and describes it in `NAME.json`.

    Tensors that the function holds become inputs too; their values are written to `NAME.npz`.

    Args:
        function: from tensors, by keywords, to named tensors. It may read and change variables.
        inputs: shapes and dtypes of its arguments, all static.
        variables: the variables by their names. Those that the function uses become inputs.
        updates: names of variables whose values after the call become outputs.
        folder: where the files are written.
        name: the program's name.

    Raises:
        ValueError: if the outputs do not depend on all variables that the function uses.
    """

    @tf.function(jit_compile=True, autograph=False)
    def compiled(*tensors):
        results = function(**dict(zip(inputs, tensors, strict=True)))
        return results | {update: variables[update].value for update in updates}

    zeros = [tf.zeros(spec.shape, spec.dtype) for spec in inputs.values()]
    concrete = compiled.get_concrete_function(*zeros)
    names = {id(variable.value.handle): name for name, variable in variables.items()}
    captured, constants = [], {}
    for number, tensor in enumerate(concrete.captured_inputs):
        if tensor.dtype != tf.resource:
            names[id(tensor)] = f"constant/{number}"
            constants[f"constant/{number}"] = tensor.numpy()
        captured.append(names[id(tensor)])
    # The results are ordered as TensorFlow flattens a dict: by name.
    outputs = sorted(concrete.structured_outputs)
    hlo = compiled.experimental_get_compiler_ir(*zeros)(stage="hlo_serialized")
    artifact, num_parameters = _portable(hlo)
    if num_parameters != len(inputs) + len(captured):
        # The compiler leaves out what the outputs do not depend on, and does not say what.
        raise ValueError(f"{name}: the function uses variables that its outputs do not need")
    description = {"inputs": [*inputs, *captured], "outputs": outputs}
    with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump(description, file)
    if constants:
        np.savez_compressed(os.path.join(folder, f"{name}.npz"), **constants)
    # No time in the file: the same program gives the same bytes.
    with gzip.GzipFile(os.path.join(folder, f"{name}.stablehlo.gz"), "wb", mtime=0) as file:
        file.write(artifact)


def _portable(hlo: bytes) -> tuple[bytes, int]:
    """A serialized HLO module as a StableHLO artifact that later versions can read.

    Returns:
        the artifact, and the number of its inputs.
    """
    with mlir.make_ir_context() as context:
        context.allow_unregistered_dialects = True
        module = ir.Module.parse(_jax.mlir.hlo_to_stablehlo(hlo))
        copies = []

        def visit(operation):
            # Of MHLO there are copies, which change nothing, and hints for the compiler.
            if operation.name == "mhlo.copy":
                copies.append(operation)
            hints = [
                named if isinstance(named, str) else named.name for named in operation.attributes
            ]
            for hint in hints:
                if hint.startswith("mhlo."):
                    del operation.attributes[hint]
            return ir.WalkResult.ADVANCE

        module.operation.walk(visit)
        for copy in copies:
            copy.results[0].replace_all_uses_with(copy.operands[0])
            copy.erase()
        main = ir.SymbolTable(module.operation)["main"]
        num_parameters = len(main.arguments)
        version = stablehlo.get_minimum_version()
        return stablehlo.serialize_portable_artifact(module, version), num_parameters
