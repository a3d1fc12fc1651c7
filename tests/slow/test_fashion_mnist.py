"""Debian's Fashion-MNIST, prepared for TFDS and read from its IDX files."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.small_runs import ROOT
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.errors import InvalidArgument

DEBIAN_FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(
    not DEBIAN_FASHION_MNIST.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_real_fashion_mnist_by_tfds_and_by_idx(tmp_path):
    """The builder of TFDS prepares Debian's files, and both readers return the same images."""
    script = ROOT / "launch" / "prepare_fashion_mnist.py"
    subprocess.run(
        [sys.executable, script, DEBIAN_FASHION_MNIST, tmp_path],
        check=True,
        capture_output=True,
        timeout=300,
    )
    common = {"image_size": 32, "channels": 1}
    by_tfds = load_images("tfds", name="fashion_mnist", data_dir=str(tmp_path), **common)
    with pytest.raises(InvalidArgument, match="`split` must be one of train, test"):
        load_images("tfds", name="fashion_mnist", data_dir=str(tmp_path), split="dev", **common)
    by_idx = load_images("idx", path=str(DEBIAN_FASHION_MNIST), **common)
    for ours, theirs, count in zip(by_tfds, by_idx, (60_000, 10_000), strict=True):
        assert ours.shape == theirs.shape == (count, 32, 32, 1)
        # TFDS shuffles the images when it prepares them. So sorted sums of pixels are compared.
        np.testing.assert_array_equal(
            np.sort(ours.sum((1, 2, 3), np.int64)), np.sort(theirs.sum((1, 2, 3), np.int64))
        )
