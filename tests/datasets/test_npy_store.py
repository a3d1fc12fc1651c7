"""Arrays in `.npy` files that are written in parts."""

import numpy as np
import pytest

from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets.npy_store import open_npy, write_npy


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("lengths", [[5], [0, 3, 0, 4], [1] * 12])
def test_parts_are_written_as_one_array(lengths, dtype, tmp_path):
    images = random_uint8(sum(lengths), 8, 8, 1).astype(dtype)
    path = str(tmp_path / "images.npy")
    write_npy(iter(np.split(images, np.cumsum(lengths)[:-1])), path)
    stored = open_npy(path)
    assert isinstance(stored, np.memmap)
    np.testing.assert_array_equal(stored, images)
    np.testing.assert_array_equal(np.load(path), images)


def test_other_files_are_not_opened(tmp_path):
    (tmp_path / "text.npy").write_bytes(b"not an array")
    with pytest.raises(ValueError, match="pickle"):
        open_npy(str(tmp_path / "text.npy"))
    with pytest.raises(FileNotFoundError):
        open_npy(str(tmp_path / "missing.npy"))
