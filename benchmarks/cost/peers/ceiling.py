"""The ceiling of a machine: plain convolutions of some sizes, of which the fastest counts."""

from collections.abc import Callable

import tensorflow as tf

from benchmarks.cost.peers.case import CONVOLUTIONS, Case

__all__ = ["MODES", "prepare"]

MODES = ("float32", "bfloat16")


def prepare(case: Case, mode: str) -> dict[str, Callable[[int], None]]:
    """Names of `CONVOLUTIONS` to functions that compute a given number of them.

    Args:
        case: not used; all peers have it.
        mode: the dtype.
    """
    del case
    dtype = tf.dtypes.as_dtype(mode)
    jobs = {}
    for name, (count, side, channels) in CONVOLUTIONS.items():
        x = tf.cast(tf.random.normal((count, side, side, channels), seed=0), dtype)
        # So small that any number of convolutions in a row stays finite.
        kernel = tf.cast(tf.random.normal((3, 3, channels, channels), 0, 1e-3, seed=1), dtype)

        @tf.function(autograph=False)
        def convolve(x, steps, kernel=kernel):
            def step(i, x):
                return i + 1, tf.nn.conv2d(x, kernel, 1, "SAME")

            return tf.while_loop(lambda i, _: i < steps, step, (tf.constant(0), x))[1]

        jobs[name] = lambda steps, f=convolve, x=x: f(x, tf.constant(steps)).numpy()
    return jobs
