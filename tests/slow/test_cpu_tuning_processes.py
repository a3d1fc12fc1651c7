"""CPU tuning of fresh processes: freed memory is kept, convolutions are computed by oneDNN."""

import os
import platform
import subprocess
import sys

import pytest

from tests.helpers.small_runs import ROOT

# Allocates and frees memory as training steps do; prints how many pages the kernel had to clear.
PROGRAM = """
import resource, sys
import numpy as np
from tf_mdsm.system.cpu_tuning import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    activations = [np.ones(2**23, np.uint8) for _ in range(4)]
    del activations
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_are_cleared_once_instead_of_in_every_step():
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


PRINT_WHETHER_ONEDNN = """
from tf_mdsm.system.cpu_tuning import tune_process
tune_process()
from tensorflow.python.util import _pywrap_util_port
print(_pywrap_util_port.IsMklEnabled())
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor")
@pytest.mark.parametrize("environment_value", [None, "0", "1"])
def test_onednn_is_used_unless_the_environment_forbids_it(environment_value):
    environment = {name: value for name, value in os.environ.items() if "ONEDNN" not in name}
    if environment_value is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = environment_value
    done = subprocess.run(
        [sys.executable, "-c", PRINT_WHETHER_ONEDNN],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(environment_value != "0")
