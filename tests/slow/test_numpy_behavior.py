"""TensorFlow's strict rules of types, `dtype_conversion_mode="safe"`, which last for a process."""

import subprocess
import sys

from tests.helpers.small_runs import ROOT, environment

PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
from tf_mdsm import randomness
if sys.argv[1] != "off":
    tf.experimental.numpy.experimental_enable_numpy_behavior(dtype_conversion_mode=sys.argv[1])
seeds = tf.constant(np.array([5, 2**40 + 5, 2**62]))
counter = (7, tf.range(3))
print(randomness.integers(seeds, counter, "start", 70).numpy().tobytes().hex())
print(randomness.normal(seeds, counter, "start", (8, 8)).numpy().tobytes().hex())
print(randomness.uniform(seeds, counter, "start", (8, 8)).numpy().tobytes().hex())
"""


def test_random_numbers_are_the_same():
    """Keras' own layers and metrics fail under these rules, so that nothing else can be asked."""
    expected, safe, all_types = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM, rules],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout
        for rules in ("off", "safe", "all")
    )
    assert expected.count("\n") == 3
    assert safe == all_types == expected
