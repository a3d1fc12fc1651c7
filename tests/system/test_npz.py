"""Reading of .npy and .npz files."""

import os
import zipfile

import numpy as np
import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system import npz
from tf_mdsm.system.npz import read_array, read_npz_arrays, require_file, require_memory


def test_arrays_are_read_by_name(tmp_path):
    path = str(tmp_path / "data.npz")
    np.savez_compressed(path, a=np.arange(3), b=np.eye(2), c=np.zeros(1))
    arrays = read_npz_arrays(path, ["b"], optional=["a", "d"])
    assert list(arrays) == ["b", "a"]
    np.testing.assert_array_equal(arrays["a"], [0, 1, 2])
    np.testing.assert_array_equal(arrays["b"], np.eye(2))


def test_a_missing_array_is_named(tmp_path):
    np.savez(tmp_path / "data.npz", a=np.arange(3))
    with pytest.raises(InvalidArgument, match=r"hold an array named `b`\. Received: .*data\.npz"):
        read_npz_arrays(str(tmp_path / "data.npz"), ["a", "b"])


def test_a_member_that_is_no_array_is_refused(tmp_path):
    for member in ("a", "a.npy"):
        with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
            archive.writestr(member, b"text")
        with pytest.raises(InvalidArgument, match="hold an array named `a`"):
            read_npz_arrays(str(tmp_path / "data.npz"), ["a"])


def test_other_files_are_refused(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"PK\x03\x04 not really")
    with open(tmp_path / "plain.npz", "wb") as file:
        np.save(file, np.arange(3))
    for path in (*tmp_path.iterdir(), tmp_path / "missing.npz", tmp_path):
        with pytest.raises(InvalidArgument, match=r"be a readable \.npz file"):
            read_npz_arrays(str(path), ["a"])


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_an_array_by_itself_or_of_an_archive(tmp_path, name):
    """Its content says which of the two a file is."""
    with open(tmp_path / name, "wb") as file:
        np.save(file, np.eye(2))
    np.testing.assert_array_equal(read_array(str(tmp_path / name), "b"), np.eye(2))
    with open(tmp_path / name, "wb") as file:
        np.savez(file, a=np.zeros(3), b=np.eye(2))
    np.testing.assert_array_equal(read_array(str(tmp_path / name), "b"), np.eye(2))
    with pytest.raises(InvalidArgument, match="hold an array named `c`"):
        read_array(str(tmp_path / name), "c")


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_what_cannot_be_read_is_called_what_it_should_be(tmp_path, kind):
    """By its ending, where its content does not say it."""
    (tmp_path / f"empty.{kind}").touch()
    (tmp_path / f"text.{kind}").write_text("no array")
    for name in ("missing", "empty", "text"):
        with pytest.raises(InvalidArgument, match=rf"be a readable \.{kind} file"):
            read_array(str(tmp_path / f"{name}.{kind}"), "a")
    np.save(tmp_path / "whole.npy", np.arange(9))
    np.savez(tmp_path / "whole.npz", a=np.arange(9))
    cut = tmp_path / ("cut.npz" if kind == "npy" else "cut.npy")
    cut.write_bytes((tmp_path / f"whole.{kind}").read_bytes()[:100])
    with pytest.raises(InvalidArgument, match=rf"be a readable \.{kind} file"):
        read_array(str(cut), "a")


def test_an_array_without_a_name_is_no_archive(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(2))
    with pytest.raises(InvalidArgument, match="it is one array without a name"):
        read_npz_arrays(str(tmp_path / "a.npy"), ["a"])


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    for path in (tmp_path, tmp_path / "pipe.npy"):
        with pytest.raises(OSError, match="it is not a file"):
            require_file(str(path))
        with pytest.raises(InvalidArgument, match="it is not a file"):
            read_array(str(path), "a")
    with pytest.raises(FileNotFoundError):
        require_file(str(tmp_path / "missing"))


def test_pickled_objects_are_not_loaded(tmp_path):
    """Unpickling would run code from the file."""
    np.savez(tmp_path / "objects.npz", a=np.array([print, "hurt"], object))
    with pytest.raises(InvalidArgument, match="allow_pickle=False"):
        read_npz_arrays(str(tmp_path / "objects.npz"), ["a"])


def test_half_of_the_memory_is_the_limit(tmp_path, monkeypatch):
    pages = {"SC_PAGE_SIZE": 100, "SC_PHYS_PAGES": 20}
    monkeypatch.setattr(npz.os, "sysconf", pages.__getitem__)
    require_memory(1_000, "file")
    with pytest.raises(InvalidArgument, match=r"at most 1,000 bytes.*file, 1,001 bytes"):
        require_memory(1_001, "file")
    np.savez_compressed(tmp_path / "data.npz", a=np.zeros(2_000, np.uint8), b=np.zeros(9))
    assert len(read_npz_arrays(str(tmp_path / "data.npz"), ["b"])["b"]) == 9
    with pytest.raises(InvalidArgument, match="unpack to at most 1,000 bytes"):
        read_npz_arrays(str(tmp_path / "data.npz"), ["a"])
    # An .npy file has a header of 128 bytes.
    np.save(tmp_path / "small.npy", np.zeros(872, np.uint8))
    assert len(read_array(str(tmp_path / "small.npy"), "a")) == 872
    np.save(tmp_path / "large.npy", np.zeros(873, np.uint8))
    with pytest.raises(InvalidArgument, match=r"unpack to at most 1,000 bytes.*1,001 bytes"):
        read_array(str(tmp_path / "large.npy"), "a")
