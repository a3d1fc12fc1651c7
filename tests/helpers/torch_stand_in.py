"""A stand-in for PyTorch: as much of it as `tf_mdsm.system.torch_files` uses, with NumPy's files.

Tests of what the program makes of a file need no PyTorch with it. PyTorch itself, and its files,
are in `tests/slow`.
"""

import sys
import types
from typing import Any

import numpy as np
import pytest


class Tensor:
    """An array with a tensor's methods.

    Args:
        array: its values.
        attributes: attributes and results of methods that differ from those of a dense tensor on
            the CPU: `layout`, `device`, `is_quantized`, `storage_bytes`.
    """

    def __init__(self, array: np.ndarray, **attributes: Any):
        self._array = np.asarray(array)
        self.layout = attributes.get("layout", "strided")
        self.device = types.SimpleNamespace(type=attributes.get("device", "cpu"))
        self.is_quantized = attributes.get("is_quantized", False)
        self._storage_bytes = attributes.get("storage_bytes", self._array.nbytes)

    def detach(self) -> "Tensor":
        return self

    def numel(self) -> int:
        return self._array.size

    def element_size(self) -> int:
        return self._array.itemsize

    def untyped_storage(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(nbytes=lambda: self._storage_bytes)

    def is_floating_point(self) -> bool:
        return np.issubdtype(self._array.dtype, np.floating)

    def to(self, dtype: type) -> "Tensor":
        return Tensor(self._array.astype(dtype))

    def resolve_conj(self) -> "Tensor":
        return self

    def resolve_neg(self) -> "Tensor":
        return self

    def numpy(self) -> np.ndarray:
        return self._array


def _load(path: str, *, map_location: str, weights_only: bool) -> dict[str, Tensor]:
    """Reads the tensors that `_save` wrote; refuses to read a file as PyTorch reads code."""
    assert weights_only, "a file could run its code"
    assert map_location == "cpu"
    with np.load(path, allow_pickle=False) as arrays:
        return {name: Tensor(array) for name, array in arrays.items()}


def _save(tensors: dict[str, Tensor], file: Any) -> None:
    np.savez(file, **{name: tensor.numpy() for name, tensor in tensors.items()})


def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes `import torch` give the stand-in, and returns it."""
    module: Any = types.ModuleType("torch")
    module.__version__ = "2.6.0+cpu"
    module.Tensor, module.from_numpy = Tensor, Tensor
    module.strided, module.float32 = "strided", np.float32
    module.load, module.save = _load, _save
    monkeypatch.setitem(sys.modules, "torch", module)
    return module
