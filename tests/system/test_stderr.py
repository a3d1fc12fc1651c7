"""Standard error without the messages of native code."""

import os
import subprocess
import sys
import tempfile

import pytest

from tests.helpers.small_runs import ROOT
from tf_mdsm.system.stderr import quiet_stderr


def test_messages_of_native_code_are_discarded(capfd):
    with quiet_stderr():
        os.write(2, b"start-up message")
    os.write(2, b"after the block")
    assert capfd.readouterr().err == "after the block"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_the_messages_are_shown(capfd, error):
    def fail():
        with quiet_stderr():
            os.write(2, b"the reason")
            raise error

    with pytest.raises(error):
        fail()
    assert capfd.readouterr().err == "the reason"


def test_no_file_stays_open():
    before = len(os.listdir("/proc/self/fd"))
    with quiet_stderr():
        pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_no_temporary_folder_is_needed(capfd, monkeypatch):
    """As in a container whose root file system is read-only."""

    def refuse(*_args, **_options):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with quiet_stderr():
        os.write(2, b"start-up message")
    assert capfd.readouterr().err == ""


def test_a_closed_standard_error_is_left_closed():
    program = "from tf_mdsm.system.stderr import quiet_stderr\nwith quiet_stderr(): print('done')"
    result = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert (result.returncode, result.stdout) == (0, "done\n")
