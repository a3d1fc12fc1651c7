"""Image and mask files of a user."""

import numpy as np
import pytest
from PIL import Image

from tests.helpers.hostile_files import image_readers
from tests.helpers.image_data import random_uint8
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.image_files import image_paths, read_images, read_mask

READERS = image_readers()


def save(folder, name, array):
    """Writes an array, or a picture, and returns its path."""
    path = str(folder / name)
    if name.endswith(".npy"):
        np.save(path, array)
    elif name.endswith(".npz"):
        np.savez(path, images=array, mask=array)
    else:
        Image.fromarray(array).save(path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_files_of_several_kinds_are_joined_in_their_order(tmp_path, channels):
    """Bytes are scaled to [0, 1]."""
    stored = random_uint8(4, 6, 5, channels)
    floats = np.float64([[[[0.75] * channels] * 5] * 6])
    paths = [
        save(tmp_path, "b.npz", stored[:2]),
        save(tmp_path, "c.png", stored[2].squeeze()),
        save(tmp_path, "a.npy", stored[3]),
        save(tmp_path, "d.npy", floats),
    ]
    images = read_images(paths, (6, 5, channels))
    assert images.dtype == np.float32
    np.testing.assert_allclose(images[:4], stored / 255, rtol=1e-6)
    np.testing.assert_array_equal(images[4:], floats)


def test_gray_images_may_lack_the_axis_of_channels(tmp_path):
    stored = random_uint8(2, 6, 5)
    for name, array in (("a.npy", stored), ("b.npy", stored[0])):
        images = read_images([save(tmp_path, name, array)], (6, 5, 1))
        np.testing.assert_allclose(images[0, ..., 0], stored[0] / 255, rtol=1e-6)


def test_pictures_are_converted_to_gray_and_color(tmp_path):
    gray, red = np.full((4, 4), 51, np.uint8), np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    color = read_images([save(tmp_path, "gray.png", gray)], (4, 4, 3))
    np.testing.assert_allclose(color, 0.2, rtol=1e-6)
    as_gray = read_images([save(tmp_path, "red.png", red)], (4, 4, 1))
    np.testing.assert_allclose(as_gray, 0.299, atol=1 / 255)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("a.npy", np.zeros((2, 8, 7), np.uint8), r"images of 8 x 8 x 1.*a\.npy, \[2, 8, 7\]"),
        ("a.npy", np.zeros((0, 8, 8), np.uint8), "images of 8 x 8 x 1"),
        ("a.npy", np.zeros((8, 8), np.int32), r"pixels of uint8, .*a\.npy, int32"),
        ("a.npy", np.full((8, 8), -0.5), r"pixels in \[0, 1\]\..*a\.npy, \[-0\.5, -0\.5\]"),
        ("a.png", np.full((8, 8), 1, np.uint8), "uint8 of which 255 is white"),
        ("a.png", np.full((8, 8), 4_095, np.uint16), "uint16 of which 65535 is white"),
    ],
)
def test_other_images_are_refused(tmp_path, name, array, message):
    with pytest.raises(InvalidArgument, match=f"`--images` must .*{message}"):
        read_images([save(tmp_path, name, array)], (8, 8, 1), "--images")


def test_other_endings_are_refused(tmp_path):
    (tmp_path / "a.heic").touch()
    with pytest.raises(InvalidArgument, match=r"`--images` must end in \.png"):
        read_images([str(tmp_path / "a.heic")], (8, 8, 1), "--images")


def test_noise_carries_floats_out_of_range_where_it_may(tmp_path):
    noisy = np.random.default_rng(0).normal(0.5, 2, (1, 6, 5, 1)).astype(np.float32)
    path = save(tmp_path, "noisy.npy", noisy)
    with pytest.raises(InvalidArgument, match=r"pixels in \[0, 1\]"):
        read_images([path], (6, 5, 1))
    np.testing.assert_array_equal(read_images([path], (6, 5, 1), floats="noisy"), noisy)
    path = save(tmp_path, "bytes.npy", np.float32(random_uint8(6, 5)))
    with pytest.raises(InvalidArgument, match="0 is black and 1 is white"):
        read_images([path], (6, 5, 1), floats="noisy")
    assert read_images([path], (6, 5, 1), floats="any").max() > 200


def test_one_dark_image_among_others_is_right(tmp_path):
    paths = [save(tmp_path, f"{n}.png", np.full((6, 5), n, np.uint8)) for n in (1, 200)]
    images = read_images(paths, (6, 5, 1))
    np.testing.assert_allclose(images[:, 0, 0, 0], [1 / 255, 200 / 255], rtol=1e-6)
    with pytest.raises(InvalidArgument, match="no value above 1"):
        read_images(paths[:1], (6, 5, 1))


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz"])
def test_damaged_and_missing_files_are_named(tmp_path, name):
    for content in (b"nothing that can be read", None):
        if content is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidArgument, match=f"`--images` must be .*{name}"):
            read_images([str(tmp_path / name)], (8, 8, 1), "--images")


def test_an_archive_must_hold_images(tmp_path):
    np.savez(tmp_path / "a.npz", pictures=np.zeros((8, 8)))
    with pytest.raises(InvalidArgument, match="`FILE` must hold an array named `images`"):
        read_images([str(tmp_path / "a.npz")], (8, 8, 1))


def test_pickled_objects_are_not_loaded(tmp_path):
    """Unpickling would run code from the file."""
    np.save(tmp_path / "objects.npy", np.array([print], object), allow_pickle=True)
    with pytest.raises(InvalidArgument, match="allow_pickle=False"):
        read_images([str(tmp_path / "objects.npy")], (8, 8, 1))


def test_a_picture_of_too_many_pixels_is_refused(tmp_path):
    Image.new("1", (10_000, 9_500)).save(tmp_path / "large.png")
    with pytest.raises(InvalidArgument, match="decompression bomb"):
        read_images([str(tmp_path / "large.png")], (8, 8, 1))


def test_a_folder_stands_for_its_readable_files_by_name(tmp_path, monkeypatch):
    (tmp_path / "sub.png").mkdir()
    names = ("a.npy", "b.PNG", "c.npz", "d.jpeg", "e.tif", "sub.png/f.webp")
    for name in (*names, "notes.txt"):
        (tmp_path / name).touch()
    expected = [str(tmp_path / name) for name in names]
    assert image_paths(str(tmp_path)) == expected
    monkeypatch.setenv("HOME", str(tmp_path))
    assert image_paths("~") == expected
    assert image_paths("~/missing.png") == [str(tmp_path / "missing.png")]


def test_a_folder_without_readable_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InvalidArgument, match=r"`--images` must hold files that end in \.png"):
        image_paths(str(tmp_path), "--images")


@pytest.mark.parametrize("name", ["mask.png", "mask.npy", "mask.npz"])
def test_one_mask_is_used_for_all_images(tmp_path, name):
    """White pixels of a picture are known, as are ones of an array."""
    known = np.indices((6, 5)).sum(0) % 2
    stored = np.uint8(255 * known) if name.endswith(".png") else known
    mask = read_mask(save(tmp_path, name, stored), (6, 5, 3), 4)
    assert (mask.shape, mask.dtype) == ((4, 6, 5, 1), np.float32)
    np.testing.assert_array_equal(mask[3, ..., 0], known)


def test_each_image_may_have_its_own_mask(tmp_path):
    known = random_uint8(3, 6, 5, 1) % 2
    np.testing.assert_array_equal(read_mask(save(tmp_path, "m.npy", known), (6, 5, 1), 3), known)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((3, 8, 8)), r"one mask, or one an image \(2\)\. Received: 3"),
        (np.ones((8, 8, 3)), "images of 8 x 8 x 1"),
        (np.full((8, 8), "known"), r"1 \(known\) or 0, not <U5"),
        (np.full((8, 8), 0.9), r"1 \(known\) or 0 everywhere\. Received: .*, 0\.9"),
        (np.full((8, 8), 255, np.uint8), r"1 \(known\) or 0 everywhere\. Received: .*, 255"),
    ],
)
def test_other_masks_are_refused(tmp_path, array, message):
    with pytest.raises(InvalidArgument, match=f"`--mask` must hold {message}"):
        read_mask(save(tmp_path, "m.npy", array), (8, 8, 3), 2)


@pytest.mark.parametrize(("quality", "is_right"), [(60, True), (75, True), (95, True), (1, False)])
def test_masks_of_jpeg_are_black_and_white_again(tmp_path, quality, is_right):
    """Up to what their compression leaves of them."""
    known = np.hypot(*(np.indices((32, 32)) - 15)) > 8
    path = str(tmp_path / "mask.jpg")
    Image.fromarray(np.uint8(255 * known)).save(path, quality=quality)
    if is_right:
        mask = read_mask(path, (32, 32, 1), 1)
        assert np.isin(mask, (0, 1)).all()
        np.testing.assert_array_equal(mask[0, ..., 0], known)
    else:
        with pytest.raises(InvalidArgument, match=r"white \(known\) or black everywhere"):
            read_mask(path, (32, 32, 1), 1)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((8, 8), 128, np.uint8), "white .* gray 128 of 255"),
        (np.ones((8, 8), np.uint8), "uint8 of which 255 is white"),
        (np.full((8, 8, 4), 255, np.uint8), "be opaque"),
    ],
)
def test_other_pictures_are_no_masks(tmp_path, pixels, message):
    with pytest.raises(InvalidArgument, match=message):
        read_mask(save(tmp_path, "mask.png", pixels), (8, 8, 1), 1)


# Pillow warns about fields of damaged files.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", READERS)
def test_hostile_files_are_read_or_refused(name, tmp_path):
    READERS[name].assert_read_or_refused(str(tmp_path))


def test_files_of_any_size(tmp_path):
    """The size is that of the first file, and the same for all."""
    stored = random_uint8(2, 6, 5, 3)
    paths = [save(tmp_path, "a.png", stored[0]), save(tmp_path, "b.npy", stored[1])]
    images = read_images(paths, (None, None, 3))
    np.testing.assert_allclose(images, stored / 255, rtol=1e-6)
    gray = save(tmp_path, "gray.npy", stored[..., 0])
    assert read_images([gray], (None, None, 1)).shape == (2, 6, 5, 1)
    other = save(tmp_path, "c.npy", random_uint8(4, 4, 3))
    with pytest.raises(InvalidArgument, match=r"hold images of one size \(6 x 5\).*c.npy, 4 x 4"):
        read_images([*paths, other], (None, None, 3))
    with pytest.raises(InvalidArgument, match="hold images of any x any x 3"):
        read_images([gray], (None, None, 3))


def test_a_mask_of_any_size(tmp_path):
    known = random_uint8(5, 9) % 2
    mask = read_mask(save(tmp_path, "m.npy", known), (None, None, 1), 1)
    np.testing.assert_array_equal(mask, known[None, ..., None])
