"""Signals that stop a run in an orderly way: SIGTERM, SIGINT (Ctrl-C), SIGHUP and SIGUSR1."""

import contextlib
import logging
import signal
import threading
import types
from collections.abc import Callable, Iterator

__all__ = ["raise_interrupts", "stop_on_signals"]

_LOGGER = logging.getLogger(__name__)

# A second one of these ends the process.
_IMPATIENT = (signal.SIGTERM, signal.SIGINT)
# A closed terminal may send SIGHUP twice. Slurm sends SIGUSR1 before the time of a job is over
# (`sbatch --signal=USR1@60`).
_PATIENT = (signal.SIGHUP, signal.SIGUSR1)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Records signals in the block; yields a function: whether one has been received.

    These are SIGTERM, SIGINT, SIGHUP and SIGUSR1. A SIGHUP that is ignored, as `nohup` asks, stays
    ignored. The first signal only sets that flag, so that the run can save and stop. A second
    SIGTERM, or a second SIGINT, ends the process. Python delivers signals to the main thread only:
    in any other thread nothing is recorded, and signals act as they did before.

    Raises:
        KeyboardInterrupt: at the end of the block, after a SIGINT, so that a script that called
            the program stops as well.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []

    def record(number: int, _frame: types.FrameType | None) -> None:
        received.append(number)
        if number in _IMPATIENT:
            signal.signal(number, signal.SIG_DFL)
        _LOGGER.info("%s: saving, then stopping", signal.Signals(number).name)

    numbers = [*_IMPATIENT, *_PATIENT]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    handlers = {number: signal.signal(number, record) for number in numbers}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if signal.SIGINT in received:
        raise KeyboardInterrupt


@contextlib.contextmanager
def raise_interrupts() -> Iterator[None]:
    """Makes any error of the block a KeyboardInterrupt once SIGINT (Ctrl-C) has been received.

    Python raises KeyboardInterrupt wherever it is. Native code that has called Python there makes
    other errors of it, as TensorFlow does while it traces a function.

    Raises:
        KeyboardInterrupt: in place of an error, after a SIGINT.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    received: list[int] = []

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        received.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    except Exception as error:
        if received:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
