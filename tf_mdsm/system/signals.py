"""Signals that stop a run in an orderly way: SIGTERM and SIGINT (Ctrl-C)."""

import contextlib
import logging
import signal
import threading
import types
from collections.abc import Callable, Iterator

__all__ = ["stop_on_signals"]

_LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Records SIGTERM and SIGINT in the block; yields a function: whether one has been received.

    The first signal only sets that flag, so that the run can save and stop. A second signal of
    the same kind ends the process. Python delivers signals to the main thread only: in any other
    thread nothing is recorded, and signals act as they did before.

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
        signal.signal(number, signal.SIG_DFL)
        _LOGGER.info("%s: saving, then stopping", signal.Signals(number).name)

    handlers = {number: signal.signal(number, record) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if signal.SIGINT in received:
        raise KeyboardInterrupt
