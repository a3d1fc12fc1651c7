"""Command lines of benchmarks: options, errors, stop signals, exit status, start of TensorFlow."""

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence

from tf_mdsm.errors import InvalidArgument, RunError, ServingError, one_line
from tf_mdsm.system.cpu_tuning import tune_process
from tf_mdsm.system.matplotlib_backend import use_file_backend
from tf_mdsm.system.stderr import quiet_stderr

__all__ = [
    "Terminated",
    "chosen_names",
    "load_tensorflow",
    "new_parser",
    "require_positive",
    "run_benchmark",
]


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM."""


def new_parser(name: str, docstring: str | None) -> argparse.ArgumentParser:
    """A parser of the flags of `python -m benchmarks NAME`; `--help` shows the docstring."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=docstring,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_benchmark(name: str, benchmark: Callable[[], None]) -> int:
    """Calls a benchmark, and returns the exit status of its command.

    SIGINT and SIGTERM end the benchmark by an exception, so that it can stop the processes that
    it started. A second SIGTERM ends this process at once.

    Returns:
        0; 1 after a failure; 2 for a wrong call; 130 after SIGINT; 143 after SIGTERM.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _sigterm_raises():
            benchmark()
    except (InvalidArgument, RunError, ServingError) as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgument) else 1
    except KeyboardInterrupt as interruption:
        print(f"{name}: stopped", file=sys.stderr)
        is_term = isinstance(interruption, Terminated)
        return 128 + (signal.SIGTERM if is_term else signal.SIGINT)
    return 0


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """In the block, the first SIGTERM raises `Terminated`."""

    def terminate(number: int, _) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def require_positive(flag: str, value: float) -> None:
    """Checks a number.

    Raises:
        InvalidArgument: unless it is positive and finite.
    """
    if not 0 < value < float("inf"):
        raise InvalidArgument(flag, "be positive", value)


def chosen_names(flag: str, text: str | None, known: Sequence[str]) -> list[str]:
    """The names in a flag's value, separated by commas; all known ones without a value.

    Raises:
        InvalidArgument: for a name that is not known.
    """
    if text is None:
        return list(known)
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise InvalidArgument(flag, f"name some of {', '.join(known)}", name)
    return names


def load_tensorflow() -> None:
    """Imports TensorFlow as `tf_mdsm.main` does: tuned for CPUs, quiet, without TF32."""
    tune_process()
    use_file_backend()
    with quiet_stderr():
        import tensorflow as tf
    # Keras warns of every new prediction function, one for each set of features.
    tf.get_logger().setLevel("ERROR")
    tf.config.experimental.enable_tensor_float_32_execution(False)
