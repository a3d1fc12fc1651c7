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
    """Bytes are scaled to [0, 1]; floats may lie beyond."""
    stored = random_uint8(4, 6, 5, channels)
    floats = np.float64([[[[-1.0] * channels] * 5] * 6])
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
        ("a.npy", np.zeros((8, 8), np.int32), "uint8 or floats, not int32"),
        ("a.png", np.zeros((8, 8), np.uint16), "be opaque, with 8 bits a channel"),
        ("a.png", np.zeros((8, 8, 4), np.uint8), "be opaque, with 8 bits a channel"),
        ("a.bmp", np.zeros((8, 8), np.uint8), r"end in \.png"),
    ],
)
def test_other_images_are_refused(tmp_path, name, array, message):
    with pytest.raises(InvalidArgument, match=f"`--images` must .*{message}"):
        read_images([save(tmp_path, name, array)], (8, 8, 1), "--images")


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
    for name in ("b.PNG", "a.npy", "c.npz", "d.jpeg", "notes.txt"):
        (tmp_path / name).touch()
    expected = [str(tmp_path / name) for name in ("a.npy", "b.PNG", "c.npz", "d.jpeg")]
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
    ],
)
def test_other_masks_are_refused(tmp_path, array, message):
    with pytest.raises(InvalidArgument, match=f"`--mask` must hold {message}"):
        read_mask(save(tmp_path, "m.npy", array), (8, 8, 3), 2)


# Pillow warns about fields of damaged files.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("name", READERS)
def test_hostile_files_are_read_or_refused(name, tmp_path):
    READERS[name].assert_read_or_refused(str(tmp_path))
