"""Images of different sizes in one flat file."""

import numpy as np
import pytest

from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets.image_store import open_images, write_images


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_read_as_they_were_written(tmp_path, dtype):
    sizes = [(3, 5, 3), (1, 1, 3), (7, 2, 3)]
    images = [random_uint8(*size, seed=size[0]).astype(dtype) for size in sizes]
    write_images(iter(zip([4, 0, 9], images, strict=True)), str(tmp_path))
    numbers, stored = open_images(str(tmp_path))
    assert numbers == [4, 0, 9]
    for ours, theirs in zip(stored, images, strict=True):
        assert ours.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)


def test_images_stay_on_disk(tmp_path):
    """They cannot be written to, and are parts of one file."""
    write_images(enumerate([random_uint8(3, 5, 1), random_uint8(4, 4, 1)]), str(tmp_path))
    _, (first, second) = open_images(str(tmp_path))
    assert not first.flags.writeable
    assert not first.flags.owndata
    assert type(second) is np.ndarray
    before = np.array(second)
    values = np.load(tmp_path / "values.npy", mmap_mode="r+")
    values[-1] ^= 255
    values.flush()
    assert second[-1, -1, 0] == before[-1, -1, 0] ^ 255


def test_images_that_are_not_contiguous(tmp_path):
    image = random_uint8(6, 4, 3).transpose(1, 0, 2)
    write_images([(0, image)], str(tmp_path))
    np.testing.assert_array_equal(open_images(str(tmp_path))[1][0], image)


@pytest.mark.parametrize("damage", ["shorter", "another table", "no table", "other places"])
def test_damaged_files_are_refused(tmp_path, damage):
    write_images(enumerate([random_uint8(3, 5, 1), random_uint8(4, 4, 1)]), str(tmp_path))
    table = np.load(tmp_path / "table.npy")
    if damage == "shorter":
        np.save(tmp_path / "values.npy", np.zeros(30, np.uint8))
    elif damage == "another table":
        np.save(tmp_path / "table.npy", table[:, :3])
    elif damage == "other places":
        np.save(tmp_path / "table.npy", table[::-1])
    else:
        (tmp_path / "table.npy").unlink()
    with pytest.raises((OSError, ValueError)):
        open_images(str(tmp_path))
