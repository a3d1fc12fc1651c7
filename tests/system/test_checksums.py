"""Checksums of a folder's files."""

import hashlib
import json

import pytest

from tf_mdsm.system import checksums
from tf_mdsm.system.checksums import changed_file, forget, record


@pytest.fixture
def folder(tmp_path):
    """A folder with three files, two of them with checksums."""
    for name in "abc":
        (tmp_path / name).write_text(f"content of {name}")
    record(str(tmp_path), ["a", "b"])
    return tmp_path


def recorded(folder):
    return json.loads((folder / "checksums.json").read_text())


def test_checksums_are_sha_256(folder):
    expected = {n: hashlib.sha256(f"content of {n}".encode()).hexdigest() for n in "ab"}
    assert recorded(folder) == expected
    record(str(folder), ["c"])
    assert list(recorded(folder)) == ["a", "b", "c"]


def test_checksums_of_files_that_no_longer_exist_are_dropped(folder):
    (folder / "a").unlink()
    record(str(folder), ["c"])
    assert list(recorded(folder)) == ["b", "c"]


def test_files_are_on_the_disk_before_their_checksums_are(folder, monkeypatch):
    calls = []
    monkeypatch.setattr(checksums, "sync", lambda path: calls.append(path.rsplit("/", 1)[1]))
    monkeypatch.setattr(checksums, "write_json", lambda known, path: calls.append(list(known)))
    record(str(folder), ["a", "c"])
    assert calls == ["a", "c", ["a", "b", "c"]]


def test_a_changed_file_is_found(folder):
    names = ["a", "b", "c"]
    assert changed_file(str(folder), names) is None
    (folder / "c").write_text("without a checksum it counts as unchanged")
    assert changed_file(str(folder), names) is None
    (folder / "b").write_text("content of B")
    assert changed_file(str(folder), names) == "b"
    assert changed_file(str(folder), ["a"]) is None


def test_forgotten_files_may_change(folder):
    forget(str(folder), iter(["b", "c"]))
    assert list(recorded(folder)) == ["a"]
    (folder / "b").write_text("another")
    assert changed_file(str(folder), ["a", "b"]) is None


def test_forgetting_what_is_not_known_writes_nothing(folder):
    before = (folder / "checksums.json").stat().st_ino
    forget(str(folder), ["c"])
    assert (folder / "checksums.json").stat().st_ino == before


@pytest.mark.parametrize("content", ["", "{", "[1]", "\x00"])
def test_damaged_checksums_count_as_none(folder, content):
    (folder / "checksums.json").write_text(content)
    (folder / "a").write_text("another")
    assert changed_file(str(folder), ["a"]) is None
    record(str(folder), ["a"])
    assert list(recorded(folder)) == ["a"]


def test_a_missing_file_is_an_error(folder):
    (folder / "a").unlink()
    with pytest.raises(FileNotFoundError):
        changed_file(str(folder), ["a"])
    with pytest.raises(FileNotFoundError):
        record(str(folder), ["missing"])
