"""Watchdog: ends this process if native code hangs, also while no Python code can run."""

import contextlib
import faulthandler
import signal
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["exit_after"]


@contextlib.contextmanager
def exit_after(seconds: float, message: str) -> Iterator[None]:
    """Ends the process with status 1 and a message if the block takes longer than `seconds`.

    Meant for native code that holds Python's global lock, as TensorFlow does while it connects
    workers: no signal handler and no thread of ours can run then. Therefore

    - SIGINT and SIGTERM get the system's default action in the block, so that Ctrl-C ends the
      process (SIGTERM only until TensorFlow's server handles it);
    - `faulthandler` ends the process from a thread in C. It can print nothing but a traceback:
      that goes to a second process, which prints `message` to standard error when anything comes.
    """
    handlers = {n: signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGTERM)}
    program = f"import sys; sys.stdin.buffer.read() and print({message!r}, file=sys.stderr)"
    with subprocess.Popen(
        [sys.executable, "-ISc", program],
        stdin=subprocess.PIPE,
        start_new_session=True,  # A terminal's Ctrl-C must not reach it.
    ) as printer:
        assert printer.stdin is not None
        faulthandler.dump_traceback_later(seconds, exit=True, file=printer.stdin)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            for number, handler in handlers.items():
                signal.signal(number, handler)
