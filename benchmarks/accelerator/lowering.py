"""Writes lowered functions of TensorFlow to files, for `program.load_program`."""

import gzip
import json
import os
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf_mdsm.serving import stablehlo_lowering

__all__ = ["lower"]


def lower(
    function: Callable[..., Mapping[str, tf.Tensor]],
    inputs: Mapping[str, tf.TensorSpec],
    variables: Mapping[str, keras.Variable],
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
        variables: Keras' variables by their names. Those that the function uses become inputs.
        updates: names of variables whose values after the call become outputs.
        folder: where the files are written.
        name: the program's name.

    Raises:
        ValueError: if the compiler must know an argument's value.
    """
    weights = {name: variable.value for name, variable in variables.items()}
    lowered = stablehlo_lowering.lower(function, inputs, weights, updates=updates)
    description = {"inputs": lowered.inputs, "outputs": lowered.outputs}
    with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
        json.dump(description, file)
    if lowered.constants:
        np.savez_compressed(os.path.join(folder, f"{name}.npz"), **dict(lowered.constants))
    # No time in the file: the same program gives the same bytes.
    with gzip.GzipFile(os.path.join(folder, f"{name}.stablehlo.gz"), "wb", mtime=0) as file:
        file.write(lowered.artifact)
