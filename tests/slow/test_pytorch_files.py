"""PyTorch's weight files are exchanged with PyTorch; other contents are refused."""

import numpy as np
import pytest

from tests.helpers import golden
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.torch_files import read_state_dict, write_state_dict

torch = pytest.importorskip("torch")


def module_of(state: dict) -> torch.nn.Module:
    """A PyTorch module with parameters of the names and shapes in a state_dict."""
    module = torch.nn.Module()
    for name, array in state.items():
        *path, kind = name.split(".")
        inner = module
        for part in path:
            if part not in dict(inner.named_children()):
                inner.add_module(part, torch.nn.Module())
            inner = inner.get_submodule(part)
        inner.register_parameter(kind, torch.nn.Parameter(torch.zeros(array.shape)))
    return module


@pytest.mark.parametrize("is_zip", [True, False])
def test_files_are_exchanged_with_pytorch_modules(tmp_path, is_zip):
    path = str(tmp_path / "file.pt")
    state = read_state_dict(str(golden.FOLDER / "res12_quadratic_c4.pt"))
    write_state_dict(path, state)
    module = module_of(state)
    module.load_state_dict(torch.load(path), strict=True)
    parallel = torch.nn.DataParallel(module).state_dict()
    torch.save(parallel, path, _use_new_zipfile_serialization=is_zip)
    read = read_state_dict(path)
    assert list(read) == [f"module.{name}" for name in state]
    for name, array in state.items():
        np.testing.assert_array_equal(array, read[f"module.{name}"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_types_become_float32(tmp_path, dtype):
    torch.save({"w": torch.tensor([0.5, -3], dtype=dtype)}, tmp_path / "file.pt")
    array = read_state_dict(str(tmp_path / "file.pt"))["w"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [0.5, -3])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({}, "must hold a state_dict"),
        ({1: torch.ones(2)}, "a name of <class 'int'>"),
        ({"w": torch.ones(2).to_sparse()}, "plain, dense tensors"),
        ({"w": torch.ones(2, device="meta")}, "plain, dense tensors"),
    ],
)
def test_other_contents_are_refused(tmp_path, content, words):
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(InvalidArgument, match=words):
        read_state_dict(str(tmp_path / "odd.pt"))
