"""Picture files as arrays; files of all kinds are in tests/test_odd_images.py."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.helpers.image_data import random_uint8
from tests.helpers.odd_images import encoded, png, tiff
from tf_mdsm.system.pictures import (
    FORMATS,
    PICTURE_ENDINGS,
    PICTURE_READ_ERRORS,
    has_transparency,
    is_gray,
    open_picture,
    read_picture,
)


def read(folder, content: bytes) -> np.ndarray:
    (folder / "a.png").write_bytes(content)
    return read_picture(str(folder / "a.png"))


def test_gray_becomes_color(tmp_path):
    gray = random_uint8(6, 5)
    pixels = read(tmp_path, encoded(gray, "PNG"))
    assert (pixels.shape, pixels.dtype) == ((6, 5, 3), np.uint8)
    np.testing.assert_array_equal(pixels, gray[..., None].repeat(3, axis=2))


def test_sixteen_bits_are_kept(tmp_path):
    gray = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    pixels = read(tmp_path, encoded(gray, "PNG"))
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels[..., 1], gray)


def test_of_deep_colors_the_upper_byte_is_right(tmp_path):
    """The other one is not known, and counts as 255."""
    color = np.random.default_rng(0).integers(65_536, size=(8, 24)).astype(">u2")
    pixels = read(tmp_path, png(color.view(np.uint8), 16, 2))
    np.testing.assert_array_equal(pixels, color.reshape(8, 8, 3) // 256 * 256 + 255)


def test_twelve_bits_are_scaled_to_white(tmp_path):
    values = np.linspace(0, 4_095, 64).astype(np.uint16)
    bits = np.unpackbits(values.astype(">u2").view(np.uint8)).reshape(64, 16)[:, 4:]
    pixels = read(tmp_path, tiff(np.packbits(bits).tobytes(), (12,)))
    expected = (values / 4_095 * 65_535).reshape(8, 8)
    np.testing.assert_allclose(pixels[..., 0], expected, atol=1)


def test_floats_become_the_nearest_of_256_levels(tmp_path):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    pixels = read(tmp_path, encoded(values, "TIFF"))
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[..., 2] / 255, values, atol=0.5 / 255)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations(tmp_path, kind, orientation):
    """As the standard draws them: the first row and column of the file, seen upright."""
    stored = np.full((16, 24, 3), 40, np.uint8)
    stored[:8, :16] = 220  # A bar along the first row that begins at the first column.
    row_is, column_is = "TTBBLRRL"[orientation - 1], "LRRLTTBB"[orientation - 1]
    upright = stored.transpose(1, 0, 2) if row_is in "LR" else stored
    upright = upright[::-1] if "B" in (row_is, column_is) else upright
    upright = upright[:, ::-1] if "R" in (row_is, column_is) else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = read(tmp_path, encoded(stored, kind, exif=exif, quality=100))
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).max() < 20


def test_transparent_parts_are_black_and_half_transparent_ones_half_so(tmp_path):
    pixels = np.full((2, 3, 4), 200, np.uint8)
    pixels[:, :, 3] = 0, 128, 255
    read_pixels = read(tmp_path, encoded(pixels, "PNG"))
    assert [int(value) for value in read_pixels[1, :, 0]] == [0, 100, 200]
    assert has_transparency(str(tmp_path / "a.png"))
    read(tmp_path, encoded(pixels[..., :3], "PNG"))
    assert not has_transparency(str(tmp_path / "a.png"))


def test_a_picture_of_too_many_pixels_is_refused(tmp_path):
    with pytest.raises(PICTURE_READ_ERRORS, match="decompression bomb"):
        read(tmp_path, encoded(Image.new("1", (10_000, 9_500)), "PNG"))


def test_what_is_no_file_is_refused(tmp_path):
    """A pipe would be waited for."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png", "missing.png"):
        with pytest.raises(OSError, match=r"not a file|No such file"):
            read_picture(str(tmp_path / name))


def test_formats_have_endings_and_start_no_program():
    assert set(FORMATS) == {"PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"}
    assert all(ending.startswith(".") and ending.islower() for ending in PICTURE_ENDINGS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (encoded(random_uint8(8, 8), "PNG"), True),
        (encoded(random_uint8(8, 8, 2), "PNG"), True),
        (encoded(random_uint8(8, 8).astype(np.uint16), "PNG"), True),
        (png(random_uint8(8, 32), 16, 4), True),
        (png(random_uint8(8, 48), 16, 2), False),
        (encoded(random_uint8(8, 8, 3), "PNG"), False),
        (encoded(Image.fromarray(random_uint8(8, 8)).convert("P"), "GIF"), False),
    ],
)
def test_gray_files(tmp_path, content, expected):
    (tmp_path / "a.png").write_bytes(content)
    with open_picture(str(tmp_path / "a.png")) as image:
        assert is_gray(image) == expected
