"""Lowers a TensorFlow function to a StableHLO program that other runtimes compile and run."""

# jaxlib's modules have no types.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

import dataclasses
import types
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument

__all__ = ["LoweredFunction", "lower", "require_jaxlib"]


@dataclasses.dataclass(frozen=True)
class LoweredFunction:
    """A StableHLO program, and the names of what goes in and comes out.

    Attributes:
        artifact: the program as a portable artifact, which versions of StableHLO of the next
            five years can read (StableHLO's compatibility guarantee).
        inputs: names of the inputs in the program's order: the function's arguments, then the
            weights that it reads.
        outputs: names of the outputs in the program's order.
        constants: what the function reads besides: tensors, and variables without a name.
    """

    artifact: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: Mapping[str, np.ndarray]


def lower(
    function: Callable[..., Mapping[str, tf.Tensor]],
    arguments: Mapping[str, tf.TensorSpec],
    weights: Mapping[str, tf.Variable],
    *,
    updates: Sequence[str] = (),
) -> LoweredFunction:
    """Lowers a function to a StableHLO program.

    Args:
        function: from tensors, by keywords, to named tensors. It may read and change variables.
        arguments: shapes and dtypes of its arguments, all static.
        weights: the variables by their names. Those that the function uses become inputs.
        updates: names of variables whose values after the call become outputs.

    Raises:
        InvalidArgument: without jaxlib.
        ValueError: if the function has an operation that XLA does not know, or if an argument must
            be known when the program is compiled, for example as an index into an array.
    """
    require_jaxlib()

    @tf.function(jit_compile=True, autograph=False)
    def compiled(*tensors):
        results = function(**dict(zip(arguments, tensors, strict=True)))
        return {**results, **{name: weights[name].value() for name in updates}}

    zeros = [tf.zeros(spec.shape, spec.dtype) for spec in arguments.values()]
    concrete = compiled.get_concrete_function(*zeros)
    names = {id(variable.handle): name for name, variable in weights.items()}
    held = {id(variable.handle): variable for variable in concrete.variables}
    constants = {}
    for tensor in concrete.captured_inputs:
        if id(tensor) not in names:
            name = f"constant/{len(constants)}"
            names[id(tensor)] = name
            constants[name] = held.get(id(tensor), tensor).numpy()
    inputs = (*arguments, *(names[id(tensor)] for tensor in concrete.captured_inputs))
    module = compiled.experimental_get_compiler_ir(*zeros)(stage="stablehlo_serialized")
    artifact, num_inputs = _portable_artifact(module)
    if num_inputs != len(inputs):
        # The compiler folds what it must know into the program, and does not say what it is.
        raise ValueError(f"the compiler must know the values of {len(inputs) - num_inputs} inputs")
    # TensorFlow orders the results of a dictionary by name.
    outputs = tuple(sorted(concrete.structured_outputs))
    return LoweredFunction(artifact, inputs, outputs, constants)


def require_jaxlib() -> types.ModuleType:
    """Imports jaxlib, an optional dependency, or refuses with the command that installs it.

    Raises:
        InvalidArgument: if it is not installed.
    """
    try:
        import jaxlib
    except ImportError as error:
        install = "in the repository: pip install -e '.[stablehlo]'"
        requirement = f"be saved_model, as jaxlib is not installed ({install})"
        raise InvalidArgument("config.export.format", requirement, "stablehlo") from error
    return jaxlib


def _portable_artifact(bytecode: bytes) -> tuple[bytes, int]:
    """A StableHLO module of TensorFlow as a portable artifact, and the number of its inputs.

    What XLA adds of its own dialect MHLO, and names of source files, are left out.
    """
    from jaxlib.mlir import ir
    from jaxlib.mlir._mlir_libs import _jax_mlir_ext
    from jaxlib.mlir.dialects import stablehlo
    from jaxlib.mlir.passmanager import PassManager

    with ir.Context() as context:
        registry = ir.DialectRegistry()
        _jax_mlir_ext.register_dialects(registry)
        context.append_dialect_registry(registry)
        context.load_all_available_dialects()
        stablehlo.register_dialect(context)
        context.allow_unregistered_dialects = True  # XLA's own dialect, MHLO.
        module = ir.Module.parse(bytecode)
        _remove_mhlo(module)
        PassManager.parse("builtin.module(strip-debuginfo)").run(module.operation)
        num_inputs = len(ir.SymbolTable(module.operation)["main"].arguments)
        version = stablehlo.get_minimum_version()
        return stablehlo.serialize_portable_artifact(module, version), num_inputs


def _remove_mhlo(module):
    """Removes hints for XLA and copies from a module: neither changes a result."""
    from jaxlib.mlir import ir

    copies = []

    def visit(operation):
        if operation.name == "mhlo.copy":
            copies.append(operation)
        attributes = operation.attributes
        for name in [each if isinstance(each, str) else each.name for each in attributes]:
            if name.startswith("mhlo."):
                del attributes[name]
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit)
    for copy in copies:
        copy.results[0].replace_all_uses_with(copy.operands[0])
        copy.erase()
