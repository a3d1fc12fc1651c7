"""Signals set a flag, once; then a second one has the system's default action."""

import logging
import signal
import threading

import pytest

from tf_mdsm.system.signals import stop_on_signals

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(autouse=True)
def handlers():
    """The handlers before a test, which it must leave as they were."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    assert {number: signal.getsignal(number) for number in NUMBERS} == before


def test_without_a_signal_nothing_happens():
    with stop_on_signals() as stop_requested:
        assert not stop_requested()


def test_a_sigterm_is_recorded(caplog):
    with caplog.at_level(logging.INFO, "tf_mdsm"), stop_on_signals() as stop_requested:
        signal.raise_signal(signal.SIGTERM)
        assert stop_requested()
        # A second one ends the process; Ctrl-C is still recorded first.
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) != signal.SIG_DFL
    assert caplog.messages == ["SIGTERM: saving, then stopping"]


def test_a_sigint_is_raised_at_the_end():
    """So that a script that called the program stops as well."""
    requests = []

    def interrupted() -> None:
        with stop_on_signals() as stop_requested:
            signal.raise_signal(signal.SIGINT)
            requests.append(stop_requested())

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert requests == [True]


def test_an_error_in_the_block_restores_the_handlers():
    with pytest.raises(ZeroDivisionError), stop_on_signals():
        raise ZeroDivisionError


def test_another_thread_leaves_the_signals_alone():
    """Python allows only the main thread to handle them."""
    outcomes = []

    def run() -> None:
        with stop_on_signals() as stop_requested:
            outcomes.append((stop_requested(), [signal.getsignal(number) for number in NUMBERS]))

    before = [signal.getsignal(number) for number in NUMBERS]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert outcomes == [(False, before)]
