"""Paths of the file system, addresses, and names that are not UTF-8."""

import os

import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.local_paths import is_local_path, local_path

ADDRESSES = [
    *("gs://bucket/run", "s3://bucket", "hdfs://host/run", "file:///tmp/run", "file:/tmp/run"),
    *("FILE:///tmp/run", " gs://bucket", "https://host/x.npz", "s3a:/bucket"),
]


@pytest.mark.parametrize("path", ADDRESSES)
def test_addresses_are_refused(path):
    with pytest.raises(InvalidArgument, match="`--workdir` must be a path in UTF-8"):
        local_path("--workdir", path)


@pytest.mark.parametrize("path", ["", "a", "/a/b", "a:b", "ä 日本", "C:/x", "[a] *?", "a//b"])
def test_paths_stay_as_they_are(path):
    assert local_path("--workdir", path) == path


def test_the_home_folder_is_filled_in():
    assert local_path("--workdir", "~/x") == os.path.expanduser("~/x")


def test_bytes_that_are_not_utf_8_are_refused_and_shown():
    with pytest.raises(InvalidArgument, match=r"Received: caf\\udce9"):
        local_path("--workdir", os.fsdecode(b"caf\xe9"))


def test_a_locale_of_other_bytes_is_noticed(monkeypatch):
    """In a latin-1 locale Python and TensorFlow would use two folders for one name."""
    monkeypatch.setattr(os, "fsencode", lambda path: path.encode("latin-1", "surrogateescape"))
    assert is_local_path("plain")
    assert not is_local_path("caf\xe9")
