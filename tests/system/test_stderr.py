"""Standard error without the messages of native code."""

import os

import pytest

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
