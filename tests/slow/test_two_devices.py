"""Sampling on two logical devices gives what one device gives."""

import os
import subprocess
import sys

import numpy as np

from tests.helpers.small_runs import ROOT, environment
from tf_mdsm.config.file import get_config
from tf_mdsm.runs.sample import sample


def test_two_devices_draw_what_one_draws(workdir):
    """The devices share the batches; a batch is the same on both, bit for bit."""
    config = get_config(str(workdir))
    config.sampling.update(num_samples=12, batch_size=2)
    path = f"{workdir}/samples/{config.sampling.sampler}_12.npz"
    sample(config, str(workdir))
    with np.load(path) as arrays:
        one_device = dict(arrays)
    (workdir / "samples" / os.path.basename(path)).unlink()
    command = [sys.executable, "-m", "tests.helpers.two_devices", str(workdir)]
    result = subprocess.run(command, cwd=ROOT, env=environment(), timeout=300)
    assert result.returncode == 0
    with np.load(path) as arrays:
        for name, value in one_device.items():
            np.testing.assert_array_equal(arrays[name], value, err_msg=name)
