"""Fingerprints: equal for equal contents, wherever they are, and for nothing else."""

import dataclasses
import gzip
import os
import shutil
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_mdsm.system import fingerprints
from tf_mdsm.system.fingerprints import (
    content_of_files,
    content_of_path,
    fingerprint,
    state_of_files,
)


@dataclasses.dataclass
class Point:
    x: float
    y: object


@dataclasses.dataclass
class Place:
    x: float
    y: object


def test_equal_values_have_equal_fingerprints():
    array = np.arange(12.0).reshape(3, 4)
    assert fingerprint({"a": 1, "b": [2, "c"]}) == fingerprint({"b": (2, "c"), "a": 1})
    assert fingerprint(array) == fingerprint(np.asfortranarray(array))
    assert fingerprint(Point(1.0, array)) == fingerprint(Point(1.0, array.copy()))
    assert len(fingerprint()) == 16


# Values of which no two are the same, though some have the same text or the same bytes.
DIFFERENT = [
    *(None, "None", True, "True", 1, 1.0, "1", b"1", 0, "", b"", [], {}, [[]], ["ab"], ["a", "b"]),
    *({"a": 1}, {"a": "1"}, [("a", 1)], {"a": {"b": 1}}, [1, [2]], [[1], 2], [1, 2], ["str 1 a"]),
    *(np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1)), np.zeros((1, 2)), np.float32(1)),
    *(np.zeros(0), np.zeros((0, 2)), np.array(1.0), [0.0, 0.0], np.arange(4), np.arange(4)[::-1]),
    *(Point(1.0, 2), Place(1.0, 2), Point(2, 1.0), {"x": 1.0, "y": 2}, float("nan"), -0.0, 0.0),
]


def test_different_values_have_different_fingerprints():
    assert len({fingerprint(value) for value in DIFFERENT}) == len(DIFFERENT)
    # A number of NumPy is the array of it.
    assert fingerprint(np.float64(1)) == fingerprint(np.array(1.0))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(JSON, JSON)
def test_json_values_differ_as_their_representations(one, other):
    same = repr(_sorted(one)) == repr(_sorted(other))
    assert (fingerprint(one) == fingerprint(other)) == same


def _sorted(value):
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(element) for element in value] if isinstance(value, list) else value


@pytest.mark.parametrize("value", [object(), {1j}, Point, np.array([None])])
def test_values_without_known_content_are_refused(value):
    with pytest.raises(TypeError, match="content"):
        fingerprint(value)


def files_in(folder, **contents: bytes) -> list[str]:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in contents]


def test_files_are_known_by_content_and_order(tmp_path):
    paths = files_in(tmp_path / "a", one=b"1", two=b"22")
    content = content_of_files(paths)
    # Moved, renamed, copied, touched: the same.
    moved = shutil.move(tmp_path / "a", tmp_path / "b")
    os.rename(moved / "one", moved / "first")
    os.utime(moved / "two")
    assert content_of_files([str(moved / "first"), str(moved / "two")]) == content
    # Another order, one more, one less, one byte moved to the neighbor: others.
    others = [
        content_of_files([str(moved / "two"), str(moved / "first")]),
        content_of_files([str(moved / "first"), str(moved / "two"), str(moved / "two")]),
        content_of_files([str(moved / "first")]),
        content_of_files(files_in(tmp_path / "c", one=b"12", two=b"2")),
    ]
    assert len({content, *others}) == 5


def test_a_file_of_the_same_size_and_time_is_known_as_another_one(tmp_path):
    """As `cp -p` and `rsync -a` leave it: their times are those of the source."""
    (path,) = files_in(tmp_path / "a", one=b"1")
    state, content, status = state_of_files([path]), content_of_files([path]), os.stat(path)
    time.sleep(0.02)
    (tmp_path / "a" / "one").write_bytes(b"2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == status.st_mtime_ns
    assert state_of_files([path]) != state
    assert content_of_files([path]) != content


def test_the_state_stays_as_long_as_nothing_is_written(tmp_path, monkeypatch):
    paths = files_in(tmp_path / "a", one=b"1", two=b"22")
    state, content = state_of_files(paths), content_of_files(paths)
    # Nor is anything read again.
    monkeypatch.setattr(fingerprints, "_digest", None)
    assert content_of_files(paths) == content
    monkeypatch.chdir(tmp_path / "a")
    assert state_of_files(["one", "two"]) == state
    os.symlink(tmp_path / "a", tmp_path / "link")
    assert state_of_files([str(tmp_path / "link" / name) for name in ("one", "two")]) == state
    os.utime("one")
    assert state_of_files(paths) != state


def test_packed_files_are_known_by_what_they_hold(tmp_path):
    (plain,) = files_in(tmp_path / "a", data=b"content")
    for level in (1, 9):
        (tmp_path / "data.gz").write_bytes(gzip.compress(b"content", level))
        assert content_of_files([str(tmp_path / "data.gz")]) == content_of_files([plain])
    images, path = np.arange(8).reshape(2, 2, 2), str(tmp_path / "data.npz")
    np.savez(path, images=images)
    content, whole = content_of_files([path], "images"), content_of_files([path])
    np.savez_compressed(path, labels=np.arange(2), images=images)
    assert content_of_files([path], "images") == content
    assert content_of_files([path]) != whole
    np.savez(path, images=images[::-1])
    assert content_of_files([path], "images") != content


@pytest.mark.parametrize("name", ["a.npz", "a.gz"])
@pytest.mark.parametrize(
    "content", [b"", b"nothing known", gzip.compress(b"half of it", mtime=0)[:-6]]
)
def test_damaged_files_are_known_by_their_bytes(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "same").write_bytes(content)
    damaged, same = ([str(tmp_path / file)] for file in (name, "same"))
    assert content_of_files(damaged, "images") == content_of_files(same)


def test_a_folder_is_known_by_names_and_contents(tmp_path):
    files_in(tmp_path / "a", one=b"1", two=b"22")
    files_in(tmp_path / "a" / "deep", three=b"3")
    content = content_of_path(str(tmp_path / "a"))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert content_of_path(str(tmp_path / "b")) == content
    os.rename(tmp_path / "b" / "one", tmp_path / "b" / "first")
    assert content_of_path(str(tmp_path / "b")) != content
    file = str(tmp_path / "a" / "one")
    assert content_of_path(file) == content_of_files([file])
    for path in ("nothing", "a/nothing"):
        with pytest.raises(FileNotFoundError):
            content_of_path(str(tmp_path / path))
