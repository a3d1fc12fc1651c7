"""Signals set a flag, once; then a second one has the system's default action."""

import logging
import signal
import threading

import pytest

from tf_mdsm.system.signals import raise_interrupts, stop_on_signals

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


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


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1])
def test_a_closed_terminal_and_slurm_may_signal_twice(caplog, number):
    with caplog.at_level(logging.INFO, "tf_mdsm"), stop_on_signals() as stop_requested:
        signal.raise_signal(number)
        signal.raise_signal(number)
        assert stop_requested()
    assert caplog.messages[0] == f"{number.name}: saving, then stopping"


def test_nohup_keeps_its_promise():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as stop_requested:
            signal.raise_signal(signal.SIGHUP)
            assert not stop_requested()
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def interrupted_native_code() -> None:
    """Ctrl-C while native code calls Python: the interrupt comes back as another error."""
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise RuntimeError("pybind11::error_already_set: MISMATCH") from None


def test_what_native_code_makes_of_an_interrupt_is_an_interrupt():
    with pytest.raises(KeyboardInterrupt), raise_interrupts():
        interrupted_native_code()


def test_an_interrupt_stays_one():
    with pytest.raises(KeyboardInterrupt), raise_interrupts():
        signal.raise_signal(signal.SIGINT)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="other"), raise_interrupts():
        raise RuntimeError("other")
