"""The lock on a checkpoint folder: one process at a time, which others can name."""

import errno
import fcntl
import os
import socket
import threading

import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.locks import training_lock


def test_one_holder_at_a_time(tmp_path):
    """The second one is told which process holds the lock; a folder is made if there is none."""
    folder = tmp_path / "run" / "checkpoints"
    with training_lock(str(folder)):
        name = f"{os.getpid()} on {socket.gethostname()}"
        assert (folder / "lock").read_text() == name
        with (
            pytest.raises(InvalidArgument, match=f"one process at a time.*, where process {name}"),
            training_lock(str(folder)),
        ):
            pass
        assert (folder / "lock").read_text() == name
    assert (folder / "lock").read_text() == ""
    with training_lock(str(folder)):
        pass


def test_an_error_in_the_block_releases_the_lock(tmp_path):
    with pytest.raises(ZeroDivisionError), training_lock(str(tmp_path)):
        raise ZeroDivisionError
    with training_lock(str(tmp_path)):
        pass


def test_the_name_of_a_killed_holder_does_not_stay(tmp_path):
    (tmp_path / "lock").write_text("4194304 on a host with a long name")
    with training_lock(str(tmp_path)):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()} on {socket.gethostname()}"


def test_a_lock_without_a_name_is_asked_for_again(tmp_path, monkeypatch):
    """A process has a lock without its name in it for a moment, at its start and at its end."""
    with open(tmp_path / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        release = threading.Timer(0.1, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        with training_lock(str(tmp_path)):
            assert (tmp_path / "lock").read_text().startswith(f"{os.getpid()} on ")
        release.join()
        monkeypatch.setattr("tf_mdsm.system.locks._NAME_SECONDS", 0.1)
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(InvalidArgument, match="process unknown is"),
            training_lock(str(tmp_path)),
        ):
            pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_there_is_a_warning(tmp_path, monkeypatch, caplog, number):
    def fail(*_):
        raise OSError(number, "no locks")

    monkeypatch.setattr(fcntl, "flock", fail)
    with training_lock(str(tmp_path)):
        assert "a file system without locks; start one process only" in caplog.text


def test_other_errors_are_raised(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "the disk fails")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="the disk fails"), training_lock(str(tmp_path)):
        pass
