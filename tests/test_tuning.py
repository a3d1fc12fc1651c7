"""What the process is told: memory that is freed is kept, convolutions are by oneDNN."""

import os
import platform
import subprocess
import sys

import pytest
from small_runs import ROOT

# Memory of three steps of a run, taken and freed again and again; pages that had to be cleared.
PROGRAM = """
import resource, sys
import numpy as np
from tf_mdsm.tuning import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    activations = [np.ones(2**23, np.uint8) for _ in range(4)]
    del activations
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_are_cleared_once_and_not_at_every_step():
    pages = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", PROGRAM, how],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for how in ("kept", "given back")
    }
    assert pages["kept"] < 0.2 * pages["given back"], pages


ASK = """
from tf_mdsm.tuning import tune_process
tune_process()
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor")
@pytest.mark.parametrize("environment_says", [None, "0", "1"])
def test_convolutions_are_by_onednn_unless_the_environment_says_otherwise(environment_says):
    environment = {name: value for name, value in os.environ.items() if "ONEDNN" not in name}
    if environment_says is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = environment_says
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(environment_says != "0")
