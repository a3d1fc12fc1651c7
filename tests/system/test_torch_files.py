"""PyTorch's weight files, read and written through a stand-in for PyTorch; what is refused.

PyTorch itself: `tests/slow/test_pytorch_files.py`.
"""

import os
import sys

import numpy as np
import pytest

from tests.helpers import torch_stand_in
from tests.helpers.torch_stand_in import Tensor
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.system.torch_files import read_state_dict, write_state_dict


@pytest.fixture
def torch(monkeypatch):
    return torch_stand_in.install(monkeypatch)


@pytest.fixture
def path(tmp_path):
    """Path of an existing file."""
    path = tmp_path / "old.pt"
    path.write_bytes(b"old")
    return str(path)


def holding(content, monkeypatch, torch):
    """Makes every file hold `content`."""
    monkeypatch.setattr(torch, "load", lambda *_, **__: content)


@pytest.mark.usefixtures("torch")
def test_what_is_written_is_read(path):
    state = {"b.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.float32([0.5])}
    write_state_dict(path, state)
    read = read_state_dict(path)
    assert list(read) == list(state)
    for name, array in state.items():
        np.testing.assert_array_equal(read[name], array)
    assert os.listdir(os.path.dirname(path)) == ["old.pt"]


def test_floating_numbers_become_float32_and_others_stay(torch, monkeypatch, path):
    content = {"w": Tensor(np.array([0.5, -3])), "n": Tensor(np.array([3], np.int16))}
    holding(content, monkeypatch, torch)
    read = read_state_dict(path)
    assert (read["w"].dtype, read["n"].dtype) == (np.float32, np.int16)
    np.testing.assert_array_equal(read["w"], [0.5, -3])
    np.testing.assert_array_equal(read["n"], [3])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], r"must hold a state_dict.*old\.pt \(a list\)"),
        ({}, r"must hold a state_dict.*old\.pt \(a dict\)"),
        ({1: Tensor(np.ones(2))}, "a name of <class 'int'> with a Tensor"),
        ({"state_dict": {"w": Tensor(np.ones(2))}}, "names and tensors.*'state_dict' with a dict"),
        ({"w": Tensor(np.ones(2), layout="sparse")}, "plain, dense tensors.*another kind in 'w'"),
        ({"w": Tensor(np.ones(2), device="meta")}, "plain, dense tensors"),
        ({"w": Tensor(np.ones(2), is_quantized=True)}, "plain, dense tensors"),
        ({"w": Tensor(np.ones(2, np.float32), storage_bytes=7)}, "plain, dense tensors"),
    ],
)
def test_other_contents_are_refused(torch, monkeypatch, path, content, words):
    holding(content, monkeypatch, torch)
    with pytest.raises(InvalidArgument, match=words) as refusal:
        read_state_dict(path)
    assert refusal.value.field == "--torch_checkpoint"


def test_a_damaged_file_is_refused_without_advice_to_run_its_code(torch, monkeypatch, path):
    def fail(*_, **__):
        raise KeyError("an unknown key. Set weights_only=False to load it anyway")

    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(InvalidArgument, match=r"no code in it is run.*KeyError: .*key\)$") as error:
        read_state_dict(path)
    assert "weights_only" not in str(error.value)


def test_only_files_that_exist_are_read(tmp_path):
    for missing in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InvalidArgument, match="must name an existing file"):
            read_state_dict(str(missing))


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_a_failed_write_keeps_the_old_file(torch, monkeypatch, path, error):
    def fail(_, file):
        file.write(b"half")
        raise error("no space left")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RunError, match=r"old\.pt cannot be written \(no space left\)"):
        write_state_dict(path, {"w": np.ones(2, np.float32)})
    with open(path, "rb") as file:
        assert file.read() == b"old"
    assert os.listdir(os.path.dirname(path)) == ["old.pt"]


def test_without_pytorch_the_message_says_what_to_install(monkeypatch, path):
    monkeypatch.setitem(sys.modules, "torch", None)
    for function, arguments, field in (
        (read_state_dict, (path,), "`--torch_checkpoint`"),
        (write_state_dict, (f"{path}.new", {}), "`config.export.format`"),
    ):
        with pytest.raises(InvalidArgument, match=r"pip install -e '\.\[torch\]'") as refusal:
            function(*arguments)
        assert field in str(refusal.value)


@pytest.mark.parametrize("version", ["1.13.1", "2.5.1+cpu"])
def test_an_unsafe_release_of_pytorch_is_refused(torch, monkeypatch, path, version):
    monkeypatch.setattr(torch, "__version__", version)
    with pytest.raises(InvalidArgument, match=r"PyTorch 2\.6 or later.*Received: PyTorch") as error:
        read_state_dict(path)
    assert version in str(error.value)


def test_later_releases_of_pytorch_are_accepted(torch, monkeypatch, path):
    holding({"w": Tensor(np.ones(2))}, monkeypatch, torch)
    for version in ("2.13.0", "3.0.0a0+git1"):
        monkeypatch.setattr(torch, "__version__", version)
        assert list(read_state_dict(path)) == ["w"]
