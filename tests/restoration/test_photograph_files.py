"""Photograph files: what of them is kept, in files of all kinds."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.helpers.image_data import random_uint8
from tests.helpers.odd_images import WHITE, encoded, odd_files, png
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.restoration.photograph_files import (
    Photograph,
    read_facts,
    read_photograph,
    write_photograph,
)
from tf_mdsm.system.pictures import PICTURE_ENDINGS

PICTURES = [file for file in odd_files() if file.name.lower().endswith(PICTURE_ENDINGS)]


def read(folder, content: bytes) -> Photograph:
    (folder / "a.png").write_bytes(content)
    return read_photograph(str(folder / "a.png"))


@pytest.mark.parametrize("file", PICTURES, ids=lambda file: file.name)
def test_odd_files_show_the_pattern_or_are_refused(file, tmp_path):
    path = file.write(tmp_path)
    if not file.is_image:
        with pytest.raises(InvalidArgument, match=r"`file` must"):
            read_photograph(path)
        return
    photograph = read_photograph(path)
    shown = photograph.pixels
    if photograph.alpha is not None:
        shown = shown * photograph.alpha[..., None]
    assert shown.shape[2] in (1, 3)
    np.testing.assert_allclose(shown, WHITE[..., None] | np.zeros(shown.shape, bool), atol=0.081)


def test_a_deep_color_file_is_read_with_all_bits_and_upright(tmp_path):
    samples = np.random.default_rng(0).integers(65_536, size=(8, 8, 4)).astype(">u2")
    exif = Image.Exif()
    exif[0x0112] = 6
    content = png(samples.reshape(8, -1).view(np.uint8), 16, 6, eXIf=exif.tobytes()[6:])
    photograph = read(tmp_path, content)
    assert photograph.bits == 16
    expected = np.rot90(samples, -1).astype(np.float32) / 65_535
    np.testing.assert_array_equal(photograph.pixels, expected[..., :3])
    np.testing.assert_array_equal(photograph.alpha, expected[..., 3])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colors_are_turned_as_pillow_turns(orientation, tmp_path):
    pixels = random_uint8(8, 8, 3).astype(">u2") * 257
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = png(pixels.reshape(8, -1).view(np.uint8), 16, 2, eXIf=exif.tobytes()[6:])
    shallow = read(tmp_path, encoded(np.uint8(pixels // 257), "PNG", exif=exif))
    deep = read(tmp_path, content)
    assert (shallow.bits, deep.bits) == (8, 16)
    np.testing.assert_array_equal(deep.pixels, shallow.pixels)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("has_alpha", [False, True])
def test_what_is_written_is_read_again(bits, channels, has_alpha, tmp_path):
    white = 2**bits - 1
    values = np.random.default_rng(1).integers(white + 1, size=(5, 7, channels + 1))
    floats = values.astype(np.float32) / white
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    written = Photograph(
        floats[..., :channels],
        bits,
        floats[..., -1] if has_alpha else None,
        profile if channels == 3 else None,
    )
    path = str(tmp_path / "sub" / "a.png")
    write_photograph(written, path, {"key": "a", "name": "ä"})
    again = read_photograph(path)
    assert again.bits == bits
    np.testing.assert_array_equal(again.pixels, written.pixels)
    if has_alpha:
        np.testing.assert_array_equal(again.alpha, written.alpha)
    else:
        assert again.alpha is None
    assert again.profile == written.profile
    assert again.notes == ()
    assert read_facts(path) == {"key": "a", "name": "ä"}


def test_pixels_are_clipped_and_rounded(tmp_path):
    pixels = np.float32([[[-1.0], [0.4999 / 255], [0.501 / 255], [2.0]]])
    write_photograph(Photograph(pixels), str(tmp_path / "a.png"), {})
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), [[0, 0, 1, 255]])


def test_facts_of_other_files(tmp_path):
    for content in (encoded(random_uint8(4, 4), "PNG"), b"", b"text"):
        (tmp_path / "a.png").write_bytes(content)
        assert read_facts(str(tmp_path / "a.png")) is None
    assert read_facts(str(tmp_path / "nowhere.png")) is None


def test_a_result_of_any_size_says_what_it_is(tmp_path, monkeypatch):
    """Twice as many pixels as an original may have, and more."""
    path = str(tmp_path / "a.png")
    write_photograph(Photograph(np.zeros((20, 20, 1), np.float32)), path, {"key": "a"})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert read_facts(path) == {"key": "a"}
    with pytest.raises(InvalidArgument, match="`file` must be readable as a picture"):
        read_photograph(path)


def test_dark_floats_are_pixels(tmp_path):
    """Of floats 1 is white, so that they cannot be integers that nobody scaled."""
    Image.fromarray(np.full((4, 4), 0.1, np.float32)).save(tmp_path / "a.tif")
    photograph = read_photograph(str(tmp_path / "a.tif"))
    np.testing.assert_allclose(photograph.pixels, 0.1, atol=0.5 / 255)


def test_opaque_files_have_no_alpha(tmp_path):
    pixels = random_uint8(4, 4, 4)
    pixels[..., 3] = 255
    photograph = read(tmp_path, encoded(pixels, "PNG"))
    assert photograph.alpha is None
    np.testing.assert_array_equal(photograph.pixels * 255, pixels[..., :3])


def test_transparent_parts_keep_their_colors(tmp_path):
    pixels = random_uint8(4, 4, 4)
    photograph = read(tmp_path, encoded(pixels, "PNG"))
    np.testing.assert_allclose(photograph.pixels * 255, pixels[..., :3], rtol=1e-6)
    np.testing.assert_allclose(photograph.alpha * 255, pixels[..., 3], rtol=1e-6)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_gray_stays_gray(mode, tmp_path):
    image = Image.fromarray(random_uint8(4, 6))
    if mode == "I;16":
        image = Image.fromarray(random_uint8(4, 6).astype(np.uint16) * 257)
    file = io.BytesIO()
    image.convert(mode).save(file, "TIFF")
    photograph = read(tmp_path, file.getvalue())
    is_gray = mode in ("1", "L", "LA", "I;16")
    assert photograph.pixels.shape == (4, 6, 1 if is_gray else 3)
    assert photograph.pixels.dtype == np.float32
    assert photograph.bits == (16 if mode == "I;16" else 8)
    assert photograph.notes == (("converted from CMYK to RGB",) if mode == "CMYK" else ())


def test_what_is_not_kept_is_noted(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    gray = read(tmp_path, encoded(random_uint8(4, 4), "PNG", icc_profile=profile))
    assert gray.profile is None
    assert gray.notes == ("its color profile is of other pixels than gray",)
    frames = [Image.fromarray(random_uint8(4, 4, seed=seed)) for seed in range(3)]
    animated = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert read(tmp_path, animated).notes == ("the first of 3 pictures in the file",)
    damaged = encoded(random_uint8(4, 4, 3), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x03\0\1")
    (note,) = read(tmp_path, damaged).notes
    assert note.startswith("Corrupt EXIF data")
    deep = b"P6 8 8 65535\n" + random_uint8(8, 8, 6).tobytes()
    photograph = read(tmp_path, deep)
    assert photograph.bits == 8
