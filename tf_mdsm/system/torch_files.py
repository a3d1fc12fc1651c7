"""PyTorch weight files (state_dict): safe reading that never runs code in a file, and writing."""

import os
import types
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system.atomic import atomic_write

__all__ = ["read_state_dict", "write_state_dict"]

_FIELD = "--torch_checkpoint"
_FLAT_STATE_DICT = "hold a state_dict: one flat dictionary of names and tensors"
_INSTALL = "in the repository: pip install -e '.[torch]'"
# Files could run code in earlier releases in spite of `weights_only` (CVE-2025-32434).
_OLDEST_SAFE_VERSION = (2, 6)


def read_state_dict(path: str) -> dict[str, np.ndarray]:
    """Reads the arrays that `torch.save(network.state_dict(), path)` wrote.

    Both of PyTorch's file formats are read. Only weights are loaded: files with other objects or
    code are refused. Floating-point arrays become float32.

    Returns:
        the arrays by their names, in PyTorch's layout.

    Raises:
        InvalidArgument: if the file does not exist or is not a PyTorch file of weights, or if
            PyTorch 2.6 or later is not installed.
    """
    if not os.path.isfile(path):
        raise InvalidArgument(_FIELD, "name an existing file", path)
    torch = _import_torch(_FIELD, "be read with PyTorch, which is not installed", path)
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _OLDEST_SAFE_VERSION:
        requirement = f"be read with PyTorch 2.6 or later, which is safe ({_INSTALL})"
        raise InvalidArgument(_FIELD, requirement, f"PyTorch {torch.__version__}")
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Arbitrary bytes can raise nearly any exception, e.g. KeyError.
        # Only the first sentence of PyTorch's message: the others tell how to run the file's code.
        reason = f"{type(error).__name__}: {one_line(error).split('. ')[0]}"
        requirement = "be a complete PyTorch file of weights only (no code in it is run)"
        raise InvalidArgument(_FIELD, requirement, f"{path} ({reason})") from error
    if not isinstance(state, dict) or not state:
        raise InvalidArgument(_FIELD, _FLAT_STATE_DICT, f"{path} (a {type(state).__name__})")
    return {name: _to_array(torch, name, value) for name, value in state.items()}


def _to_array(torch: types.ModuleType, name: object, value: Any) -> np.ndarray:
    """A tensor as an array: without a copy, or converted to float32 from other floating types."""
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        key = repr(name)[:80] if isinstance(name, str) else f"a name of {type(name)}"
        raise InvalidArgument(_FIELD, _FLAT_STATE_DICT, f"{key} with a {type(value).__name__}")
    value = value.detach()
    is_dense = (
        value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        # With strides of zero a tensor can claim any size: compare with its actual memory.
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
    if not is_dense:
        raise InvalidArgument(_FIELD, "hold plain, dense tensors", f"another kind in {name!r:.80}")
    if value.is_floating_point():
        value = value.to(torch.float32)
    return value.resolve_conj().resolve_neg().numpy()


def write_state_dict(path: str, state: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as a state_dict that PyTorch's `torch.load` reads.

    The write is atomic: the file appears complete, or not at all.

    Args:
        path: the file to write; an existing one is replaced.
        state: the arrays by their names, in PyTorch's layout.

    Raises:
        InvalidArgument: if PyTorch is not installed.
        RunError: if the file cannot be written.
    """
    torch = _import_torch(
        "config.export.format", "be saved_model, as PyTorch is not installed", "torch"
    )
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
    try:
        with atomic_write(path) as partial, open(partial, "wb") as file:
            torch.save(tensors, file)
    except (OSError, RuntimeError) as error:
        raise RunError(f"{path} cannot be written ({one_line(error)})") from error


def _import_torch(field: str, requirement: str, received: str) -> types.ModuleType:
    """Imports PyTorch, an optional dependency, or refuses with the command that installs it."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise InvalidArgument(field, f"{requirement} ({_INSTALL})", received) from error
    return torch
