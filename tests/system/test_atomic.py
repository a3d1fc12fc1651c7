"""Atomic writes: complete under their name or not at all, and on the disk before that."""

import errno
import json
import os
import pathlib
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from tf_mdsm.system.atomic import atomic_folder, atomic_write, sync, write_json, write_text


@pytest.fixture
def disk(monkeypatch):
    """Calls that reach the disk, in order: ("sync", name), ("rename", name), ("sync all",)."""
    calls, real = [], {name: getattr(os, name) for name in ("replace", "rename", "fsync")}

    def renaming(kind):
        def rename(source, target):
            calls.append(("rename", os.path.basename(target)))
            real[kind](source, target)

        return rename

    def fsync(descriptor):
        calls.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}"))))
        real["fsync"](descriptor)

    monkeypatch.setattr(os, "replace", renaming("replace"))
    monkeypatch.setattr(os, "rename", renaming("rename"))
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "sync", lambda: calls.append(("sync all",)))
    return calls


def test_a_file_is_on_the_disk_before_its_name_is(tmp_path, disk):
    with atomic_write(str(tmp_path / "deep" / "a.txt")) as partial:
        assert os.path.dirname(partial) == str(tmp_path / "deep")
        assert partial.endswith(".txt")
        pathlib.Path(partial).write_text("new")
        assert disk == []
    assert disk == [("sync", os.path.basename(partial)), ("rename", "a.txt"), ("sync", "deep")]
    assert (tmp_path / "deep" / "a.txt").read_text() == "new"


def test_a_failed_write_leaves_the_old_file(tmp_path, disk):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail():
        with atomic_write(str(path)) as partial:
            pathlib.Path(partial).write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert disk == []
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_content_that_does_not_reach_the_disk_gets_no_name(tmp_path, monkeypatch):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail(descriptor):
        raise OSError("input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="input/output"):
        write_text("new", str(path))
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_text_is_utf_8_and_json_ends_with_a_line(tmp_path):
    write_text("σ₀", str(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").read_bytes() == "σ₀".encode()
    write_json({"b": [1, None]}, str(tmp_path / "a.json"))
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"b": [1, None]}
    assert text.endswith("}\n")


def test_values_that_json_does_not_have_leave_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json([1], str(path))
    with pytest.raises(TypeError):
        write_json([object()], str(path))
    assert json.loads(path.read_text()) == [1]


def test_a_folder_is_on_the_disk_before_its_name_is(tmp_path, disk):
    path = tmp_path / "deep" / "folder"
    with atomic_folder(str(path)) as partial:
        pathlib.Path(partial, "a").write_text("new")
        assert not path.exists()
        assert disk == []
    assert disk == [("sync all",), ("rename", "folder"), ("sync", "deep")]
    assert (path / "a").read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["folder"]


def test_a_folder_has_the_usual_access_rights(tmp_path):
    """Not those of a private temporary folder."""
    (tmp_path / "usual").mkdir()
    with atomic_folder(str(tmp_path / "folder")):
        pass
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "folder")]
    assert modes[0] == modes[1]


def test_a_failed_folder_leaves_nothing(tmp_path, disk):
    def fail():
        with atomic_folder(str(tmp_path / "folder")) as partial:
            pathlib.Path(partial, "a").write_text("ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert disk == []
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_writers_gets_the_name(tmp_path):
    path = tmp_path / "folder"

    def write_twice():
        with atomic_folder(str(path)) as second:
            pathlib.Path(second, "a").write_text("second")
            with atomic_folder(str(path)) as first:
                pathlib.Path(first, "a").write_text("first")

    with pytest.raises(OSError, match="not empty"):
        write_twice()
    assert (path / "a").read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    """Each has a file of its own; the last one that is ready stays, whole."""
    path = tmp_path / "a.txt"
    with atomic_write(str(path)) as second:
        pathlib.Path(second).write_text("second")
        with atomic_write(str(path)) as first:
            assert first != second
            pathlib.Path(first).write_text("first")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_many_threads_write_one_file(tmp_path):
    path, texts = tmp_path / "a.txt", [str(number) * 10_000 for number in range(10)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_text, texts * 10, [str(path)] * 100))
    assert path.read_text() in texts
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_the_longest_name_can_be_written(tmp_path):
    path = tmp_path / ("n" * 251 + ".txt")
    write_text("new", str(path))
    assert path.read_text() == "new"


def test_files_of_killed_processes_are_removed_after_a_day(tmp_path):
    for name, hours in ((".partial-0-old.txt", 25), (".partial-1-new.txt", 23), ("old.txt", 25)):
        (tmp_path / name).write_text("")
        old = os.stat(tmp_path / name).st_mtime - 3_600 * hours
        os.utime(tmp_path / name, (old, old))
    write_text("new", str(tmp_path / "a.txt"))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".partial-1-new.txt", "a.txt", "old.txt"]


def test_a_folder_that_is_written_for_more_than_a_day_stays(tmp_path):
    old = tmp_path / ".partial-folder-old"
    (old / "inner").mkdir(parents=True)
    (old / "inner" / "growing").write_text("")
    for path in (old / "inner", old):
        os.utime(path, (1, 1))
    with atomic_folder(str(tmp_path / "folder")):
        assert (old / "inner" / "growing").exists()


def test_folders_of_killed_processes_are_removed_after_a_day(tmp_path):
    old, new = tmp_path / ".partial-folder-old", tmp_path / ".partial-folder-new"
    for folder, hours in ((old, 25), (new, 23)):
        (folder / "inner").mkdir(parents=True)
        time = folder.stat().st_mtime - 3_600 * hours
        for path in (folder / "inner", folder):
            os.utime(path, (time, time))
    with atomic_folder(str(tmp_path / "folder")):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == [new.name, "folder"]


def test_sync_refuses_what_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError):
        sync(str(tmp_path / "missing"))


def test_sync_closes_what_it_opened(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    sync(str(tmp_path))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_file_system_that_cannot_wait_is_left_alone(tmp_path, monkeypatch, number):
    def fail(_):
        raise OSError(number, "fsync")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="fsync") if number == errno.EIO else nullcontext():
        write_text("new", str(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").exists() == (number != errno.EIO)
