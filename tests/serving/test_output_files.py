"""Output files of the command: names that can be written, and what is written to them."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.helpers.served_inputs import SHAPE, some_images
from tf_mdsm.serving import InvalidArgument
from tf_mdsm.serving.output_files import require_output, require_picture, write_answer


@pytest.mark.parametrize("name", ["samples.png", "samples.npz", "SAMPLES.PNG"])
def test_a_file_that_can_be_written_is_accepted(tmp_path, name):
    require_output(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        ("samples.jpg", "end in .png"),
        ("samples", "end in .png"),
        ("missing/samples.png", "be a file in a folder that can be written"),
        ("folder.npz", "be a file in a folder that can be written"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path, name, requirement):
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InvalidArgument, match=f"`--output` must {requirement}"):
        require_output(str(tmp_path / name))


def test_a_folder_without_write_permission_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    with pytest.raises(InvalidArgument, match="be a file in a folder that can be written"):
        require_output(str(tmp_path / "samples.png"))


def test_points_cannot_be_written_as_a_picture():
    require_picture("points.npz", (1, 1, 2))
    require_picture("digits.png", SHAPE)
    require_picture("color.png", (8, 8, 3))
    with pytest.raises(InvalidArgument, match=r"`--output` must end in \.npz"):
        require_picture("points.png", (1, 1, 2))


@pytest.mark.parametrize("file", ["answer.npz", "ANSWER.NPZ"])
def test_numbers_are_written_exactly(tmp_path, file):
    arrays = {"images": some_images(3), "seeds": np.array([2**53 + 1, 2**62, 0])}
    write_answer(str(tmp_path / file), arrays, arrays["images"])
    with np.load(tmp_path / file) as archive:
        assert set(archive) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(archive[name], array)
    assert os.listdir(tmp_path) == [file]


def test_a_picture_shows_every_image_in_a_frame(tmp_path):
    """Images of 8 x 8 pixels are enlarged eight times; lines of 2 pixels are between them."""
    images = some_images(2)
    write_answer(str(tmp_path / "answer.PNG"), {}, images)
    with Image.open(tmp_path / "answer.PNG") as picture:
        pixels = np.asarray(picture)
    assert pixels.shape == (64 + 2 * 2, 2 * 64 + 3 * 2)
    shown = [pixels[2:66:8, left : left + 64 : 8] for left in (2, 68)]
    np.testing.assert_array_equal(shown, np.round(255 * images[..., 0]))
    assert os.listdir(tmp_path) == ["answer.PNG"]
