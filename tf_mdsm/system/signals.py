"""Signals that end a run in good order."""

import contextlib
import logging
import signal
from collections.abc import Callable, Iterator

__all__ = ["stop_on_signals"]

_LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether SIGTERM or SIGINT has come; the same again kills.

    After a SIGINT the block ends with a KeyboardInterrupt, so that scripts stop with it.
    """
    received = []

    def note(number: int, _) -> None:
        received.append(number)
        signal.signal(number, signal.SIG_DFL)
        _LOGGER.info("%s: saving, then stopping", signal.Signals(number).name)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if signal.SIGINT in received:
        raise KeyboardInterrupt
