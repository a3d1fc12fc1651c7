"""Compiled functions without compilation."""

import contextlib
import warnings
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Runs compiled functions operation by operation: cheaper where they are called few times."""
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            # tf.data compiles its functions nevertheless, and says so.
            warnings.filterwarnings("ignore", "Even though the `tf.config")
            yield
    finally:
        tf.config.run_functions_eagerly(False)
