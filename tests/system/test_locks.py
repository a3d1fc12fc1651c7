"""The lock on a checkpoint folder: one process at a time, which others can name."""

import errno
import fcntl
import logging
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.locks import job_lock, training_lock


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


# Locks of other jobs


def test_a_job_is_done_by_one_process_at_a_time(tmp_path):
    """The second one is told which process does it; no file stays."""
    path = str(tmp_path / "deep" / "job.lock")
    with job_lock(path, "be done once"):
        name = f"{os.getpid()} on {socket.gethostname()}"
        with (
            pytest.raises(InvalidArgument, match=f"`--workdir` must be done once.*process {name}"),
            job_lock(path, "be done once"),
        ):
            pass
        with job_lock(str(tmp_path / "other.lock"), "be done once"):
            pass
    assert list((tmp_path / "deep").iterdir()) == []
    with pytest.raises(ZeroDivisionError), job_lock(path, "be done once"):
        raise ZeroDivisionError
    (tmp_path / "deep" / "job.lock").write_text("4194304 on a host")  # Of a killed process.
    with job_lock(path, "be done once"):
        assert (tmp_path / "deep" / "job.lock").read_text() == name
    assert list((tmp_path / "deep").iterdir()) == []


def test_processes_that_wait_for_a_job_do_it_one_after_the_other(tmp_path, caplog):
    """Though each of them removes the file that others wait for."""
    path, inside, most = str(tmp_path / "job.lock"), [], []

    def work(number: int) -> None:
        for _ in range(5):
            with job_lock(path, "be done once", waits=True):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.002)
                inside.remove(number)

    with caplog.at_level(logging.INFO), ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert most == [1] * 20
    assert f"job.lock, where process {os.getpid()} on" in caplog.text
    assert list(tmp_path.iterdir()) == []
