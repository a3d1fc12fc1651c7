"""Uploads: pictures of any size, arrays, and what is refused by its own name."""

import io
import tempfile

import numpy as np
import pytest
from PIL import Image

from tf_mdsm.demo.uploads import read_upload
from tf_mdsm.errors import InvalidArgument

GRAY = (8, 8, 1)


def picture(pixels: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


RAMP = np.arange(0, 256, 4, np.uint8).reshape(8, 8)


def test_a_picture_of_the_right_size_is_taken_as_it_is():
    image, remark = read_upload("digit.PNG", picture(RAMP), GRAY)
    np.testing.assert_array_equal(image[..., 0], RAMP.astype(np.float32) / 255)
    assert remark == ""


def test_other_sizes_are_cropped_and_scaled_or_padded():
    large = np.zeros((40, 80), np.uint8)
    large[:, 20:60] = 200
    image, remark = read_upload("a.png", picture(large), GRAY)
    np.testing.assert_allclose(image, 200 / 255, atol=1e-6)
    assert remark == "The picture has 80 x 40 pixels: its middle was scaled to 8 x 8."
    image, remark = read_upload("a.png", picture(np.full((4, 6), 255, np.uint8)), GRAY)
    assert image.sum() == 24
    assert "black was put around it" in remark


def test_colors_follow_the_model():
    color = np.zeros((8, 8, 3), np.uint8)
    color[..., 0] = 255
    gray, _ = read_upload("a.png", picture(color), GRAY)
    assert gray.shape == GRAY
    assert 0.2 < gray.mean() < 0.4
    same, _ = read_upload("a.png", picture(color), (8, 8, 3))
    np.testing.assert_array_equal(same, color / 255)
    assert read_upload("a.png", picture(np.repeat(RAMP[..., None], 3, 2)), (4, 4, 3))[0].shape == (
        4,
        4,
        3,
    )


def test_an_array_may_hold_noise_and_its_first_image_is_taken():
    values = np.random.default_rng(0).normal(0.5, 1, (3, *GRAY)).astype(np.float32)
    image, remark = read_upload("noisy.npy", array(values), GRAY)
    np.testing.assert_array_equal(image, values[0])
    assert remark == ""


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.txt", b"words", "must end in .png"),
        ("no ending", b"words", "must end in .png"),
        ("broken.png", b"\x89PNG\r\n", "must be readable. Received: broken.png"),
        ("empty.jpg", b"", "must be readable. Received: empty.jpg"),
        ("labels.png", picture(RAMP // 50), "must hold uint8 of which 255 is white"),
        ("labels.png", picture(np.zeros((9, 9), np.uint8) + 5), "of which 255 is white"),
        ("bytes.npy", array(np.full(GRAY, 99.0)), "0 is black and 1 is white"),
        ("large.npy", array(np.zeros((9, 9, 1))), "must hold images of 8 x 8 x 1"),
        ("cut.npy", array(np.zeros(GRAY))[:50], "must "),
        ("a.pn\0g", b"x", "must "),
        ("../../etc/passwd", b"x", "must end in .png"),
    ],
)
def test_what_is_no_image_is_refused_by_its_own_name(name, content, sentence):
    with pytest.raises(InvalidArgument) as refusal:
        read_upload(name, content, GRAY)
    assert sentence in str(refusal.value)
    assert str(refusal.value).startswith("`upload` must ")
    assert tempfile.gettempdir() not in str(refusal.value)


def test_a_model_of_oblong_images_takes_pictures_of_its_size_only():
    assert read_upload("a.png", picture(RAMP[:4]), (4, 8, 1))[0].shape == (4, 8, 1)
    with pytest.raises(InvalidArgument, match="hold images of 4 x 8 x 1"):
        read_upload("a.png", picture(RAMP), (4, 8, 1))
