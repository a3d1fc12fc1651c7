"""The watchdog ends a process that hangs, and leaves one that does not as it was."""

import signal
import subprocess
import sys

from tests.helpers.small_runs import ROOT
from tf_mdsm.distributed.watchdog import exit_after


def test_a_block_that_ends_in_time_leaves_nothing_behind(capfd):
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    with exit_after(60, "too late"):
        assert {signal.getsignal(number) for number in before} == {signal.SIG_DFL}
    assert {n: signal.getsignal(n) for n in before} == before
    assert capfd.readouterr() == ("", "")


def test_a_block_that_hangs_ends_the_process_with_a_message():
    """The process holds Python's global lock all the time, so that none of its code can run."""
    program = (
        "import ctypes; from tf_mdsm.distributed.watchdog import exit_after\n"
        "with exit_after(0.2, 'too late'):\n"
        "    ctypes.PyDLL(None).sleep(60)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert done.stderr == "too late\n"
