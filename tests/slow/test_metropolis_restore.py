"""Restoring of images by the samplers that accept or reject, which take long to compile."""

import shutil

import numpy as np
import pytest

from tf_mdsm.config.file import get_config
from tf_mdsm.config.rules import validate
from tf_mdsm.runs.restore import restore


@pytest.mark.parametrize("sampler", ["mala", "hmc"])
def test_known_pixels_are_unchanged(small_run, tmp_path, sampler):
    workdir = shutil.copytree(small_run, tmp_path / "run")
    config = get_config(str(workdir))
    config.restoration.update(sampler=sampler, max_steps=9, task="inpaint_half", num_images=3)
    restore(validate(config), str(workdir))
    with np.load(workdir / "restorations" / "inpaint_half.npz") as saved:
        restored, original = saved["restored"], saved["original"][:, None]
    np.testing.assert_array_equal(
        restored[:, :, :4], original[:, :, :4].repeat(len(restored[0]), 1)
    )
    assert (restored[:, :, 4:] != original[:, :, 4:]).any((2, 3, 4)).all()
