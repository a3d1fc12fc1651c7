"""PyTorch's files of weights: read without running anything that is in them, and written."""

import os
import types
import warnings
from collections.abc import Mapping

import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError, one_line
from tf_mdsm.system.atomic import atomic_write

__all__ = ["read_state_dict", "write_state_dict"]

_FIELD = "--torch_checkpoint"
_CONTENT = "hold a state_dict: names with tensors, none inside another"
_INSTALL = "in the repository: pip install -e '.[torch]'"
# Before this release, a file could run code in spite of `weights_only` (CVE-2025-32434).
_OLDEST = (2, 6)


def read_state_dict(path: str) -> dict[str, np.ndarray]:
    """The arrays that `torch.save(network.state_dict(), path)` wrote, floating ones as float32.

    Both of PyTorch's formats are read, weights only: the file's other objects and code are not.

    Raises:
        InvalidArgument: if it is no such file, or PyTorch is not installed.
    """
    if not os.path.isfile(path):
        raise InvalidArgument(_FIELD, "name an existing file", path)
    torch = _import_torch(_FIELD, "be read with PyTorch", path)
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < _OLDEST:
        newer = f"be read with PyTorch 2.6 or later, which is safe ({_INSTALL})"
        raise InvalidArgument(_FIELD, newer, f"PyTorch {torch.__version__}")
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # Foreign bytes make it raise nearly anything, KeyError say.
        # Its first sentence only: the others tell how to run the code in the file.
        reason = f"{type(error).__name__}: {one_line(error).split('. ')[0]}"
        whole = "be a whole PyTorch file of weights and nothing else (no code in it is run)"
        raise InvalidArgument(_FIELD, whole, f"{path} ({reason})") from error
    if not isinstance(state, dict) or not state:
        raise InvalidArgument(_FIELD, _CONTENT, f"{path} (a {type(state).__name__})")
    return {name: _to_array(torch, name, value) for name, value in state.items()}


def _to_array(torch: types.ModuleType, name: object, value: object) -> np.ndarray:
    """A view of a tensor's memory, or float32 numbers where it has another floating type."""
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        key = repr(name)[:80] if isinstance(name, str) else f"a name of {type(name)}"
        raise InvalidArgument(_FIELD, _CONTENT, f"{key} with a {type(value).__name__}")
    value = value.detach()
    is_plain = (
        value.layout is torch.strided
        and value.device.type == "cpu"
        and not value.is_quantized
        # A tensor can claim any size by strides of zero; we look at the memory that is there.
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
    if not is_plain:
        raise InvalidArgument(_FIELD, "hold plain, dense tensors", f"another kind as {name!r:.80}")
    if value.is_floating_point():
        value = value.to(torch.float32)
    return value.resolve_conj().resolve_neg().numpy()


def write_state_dict(path: str, state: Mapping[str, np.ndarray]) -> None:
    """Writes arrays for PyTorch's `torch.load` and `load_state_dict`, whole or not at all.

    Raises:
        InvalidArgument: if PyTorch is not installed.
        RunError: if the file cannot be written.
    """
    torch = _import_torch("config.export.format", "be saved_model, or have PyTorch", "torch")
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in state.items()}
    try:
        with atomic_write(path) as partial, open(partial, "wb") as file:
            torch.save(tensors, file)
    except (OSError, RuntimeError) as error:
        raise RunError(f"{path} cannot be written ({one_line(error)})") from error


def _import_torch(field: str, requirement: str, received: str) -> types.ModuleType:
    try:
        import torch
    except ImportError as error:
        absent = f"{requirement}, which is not installed ({_INSTALL})"
        raise InvalidArgument(field, absent, received) from error
    return torch
