"""Damaged, wrong or malicious files: each is read or refused, whatever bytes it holds."""

import gzip
import io
import struct
import tempfile
import zipfile

import numpy as np
import pytest
from hostile_files import all_readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tf_mdsm.datasets import readers
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system import image_files, npz

READERS = all_readers()


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_read(name, tmp_path):
    assert READERS[name].try_bytes(READERS[name].valid, str(tmp_path))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_bytes_are_read_or_refused(name, data):
    """A valid file is cut, lengthened, or gets other bytes anywhere: no error but a refusal."""
    content = bytearray(READERS[name].valid)
    size = len(content)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, size - 1))
        content[position : position + 1] = data.draw(st.binary(min_size=1, max_size=4))
    new_size = data.draw(st.integers(0, size + 8))
    with tempfile.TemporaryDirectory() as folder:
        READERS[name].try_bytes(bytes(content[:new_size]), folder)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=20, deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(name, content):
    with tempfile.TemporaryDirectory() as folder:
        assert not READERS[name].try_bytes(content, folder)


def test_a_file_that_unpacks_to_more_than_half_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz.os, "sysconf", lambda name: 1_000)  # One million bytes of memory.
    fits = "unpack to at most 500,000 bytes, half of this machine's memory"
    np.savez_compressed(tmp_path / "zeros.npz", images=np.zeros((9, 300, 300), np.uint8))
    assert (tmp_path / "zeros.npz").stat().st_size < 5_000
    with pytest.raises(InvalidArgument, match=fits):
        readers.read_npz(str(tmp_path / "zeros.npz"))
    with pytest.raises(InvalidArgument, match=fits):
        image_files.read_images([str(tmp_path / "zeros.npz")], (300, 300, 1))
    claim = struct.pack(">4I", 0x803, 9, 300, 300)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(claim + bytes(810_000)))
    with pytest.raises(InvalidArgument, match=fits):
        readers.read_idx(str(tmp_path), "train")


def test_a_header_with_a_false_size_takes_no_memory(tmp_path):
    """The array's header claims 64 PiB, and a few bytes follow."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 8, 8)}
    )
    with zipfile.ZipFile(tmp_path / "large.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"few")
    with pytest.raises(InvalidArgument, match=r"be a readable \.npz file"):
        readers.read_npz(str(tmp_path / "large.npz"))


def test_pickled_objects_are_not_loaded(tmp_path):
    """Unpickling would run code from the file."""
    np.savez(tmp_path / "objects.npz", images=np.array([print, "hurt"], object))
    with pytest.raises(InvalidArgument, match="allow_pickle=False"):
        readers.read_npz(str(tmp_path / "objects.npz"))
    np.save(tmp_path / "objects.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(InvalidArgument, match="allow_pickle=False"):
        image_files.read_images([str(tmp_path / "objects.npy")], (8, 8, 1))


def test_an_image_of_too_many_pixels_is_refused(tmp_path):
    from PIL import Image

    Image.new("1", (10_000, 9_500)).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size < 50_000
    with pytest.raises(InvalidArgument, match=r"hold images only .*decompression bomb"):
        list(readers.read_folder(str(tmp_path)))
