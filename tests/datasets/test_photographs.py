"""Photographs of all kinds and sizes, in memory and in the cache, and their patches."""

import weakref

import numpy as np
import pytest
from PIL import Image

from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets import photographs, readers
from tf_mdsm.datasets.loading import load_images, split_indices
from tf_mdsm.datasets.photographs import load_patches, load_photographs
from tf_mdsm.errors import InvalidArgument

SIZES = [(20, 30), (16, 16), (40, 17), (24, 24), (33, 18)]
PHOTOS = [random_uint8(*size, 3, seed=number) for number, size in enumerate(SIZES)]


@pytest.fixture
def folder(tmp_path):
    """Photographs of all of `SIZES`."""
    path = tmp_path / "photos"
    path.mkdir()
    for number, pixels in enumerate(PHOTOS):
        Image.fromarray(pixels).save(path / f"{number}.png")
    return path


def test_the_bundled_photographs():
    """In the order of their names in `readers`; astronaut and camera are held out."""
    training, validation = load_patches("photographs", path="", image_size=64, channels=1)
    assert (training.num_images, validation.num_images) == (11, 2)
    # Of 512 x 512 pixels each.
    assert validation.shape == (2 * 8 * 8, 64, 64, 1)
    _, images = load_photographs("photographs", path="", channels=3)
    assert [image.shape for image in images[-2:]] == [(512, 512, 3), (512, 512, 3)]
    camera = images[-1]
    np.testing.assert_array_equal(camera[..., 0], camera[..., 1])
    # Two are smaller than a patch; the others are divided as before.
    training, validation = load_patches("photographs", path="", image_size=302, channels=1)
    assert (training.num_images, validation.num_images) == (9, 2)


def all_patches(patches) -> np.ndarray:
    return patches[np.arange(len(patches))]


@pytest.mark.parametrize("cached", [False, True])
def test_photographs_are_read_whole(folder, tmp_path, cached):
    cache = str(tmp_path / "cache") if cached else ""
    for _ in range(2):
        numbers, images = load_photographs("folder", path=str(folder), channels=3, cache=cache)
        assert numbers == [0, 1, 2, 3, 4]
        for ours, theirs in zip(images, PHOTOS, strict=True):
            assert ours.dtype == np.uint8
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("channels", [1, 3])
def test_photographs_as_large_as_a_patch_are_the_whole_images_of_load_images(tmp_path, channels):
    """Gray and in color, with the same images held out."""
    for number in range(6):
        Image.fromarray(random_uint8(8, 8, 3, seed=number)).save(tmp_path / f"{number}.png")
    arguments = {"path": str(tmp_path), "image_size": 8, "channels": channels}
    whole = load_images("folder", **arguments, held_out_fraction=0.4)
    patches = load_patches("folder", **arguments, held_out_fraction=0.4)
    for ours, theirs in zip(patches, whole, strict=True):
        np.testing.assert_array_equal(all_patches(ours), theirs)


def test_a_fraction_of_the_files_is_held_out(folder):
    arguments = {"path": str(folder), "image_size": 16, "channels": 3}
    training, validation = load_patches("folder", **arguments, held_out_fraction=0.4)
    kept, held_out = split_indices(5, 0.4)
    assert (training.num_images, validation.num_images) == (3, 2)
    assert len(training) == sum((h - 15) * (w - 15) for h, w in (SIZES[i] for i in kept))
    assert len(validation) == sum((h // 16) * (w // 16) for h, w in (SIZES[i] for i in held_out))
    # At least one, however small the fraction.
    _, validation = load_patches("folder", **arguments, held_out_fraction=0.001)
    assert validation.num_images == 1


def test_memory_and_cache_give_the_same_patches(folder, tmp_path, monkeypatch):
    """The files are decoded once, whatever the size of the patches and the held-out fraction."""
    cache = str(tmp_path / "cache")
    for size, fraction in ((16, 0.2), (9, 0.2), (16, 0.4)):
        arguments = {"image_size": size, "held_out_fraction": fraction, "channels": 1}
        memory = load_patches("folder", path=str(folder), **arguments)
        with monkeypatch.context() as patch:
            if (tmp_path / "cache").exists():
                patch.setattr(photographs, "_read", None)
            stored = load_patches("folder", path=str(folder), **arguments, cache=cache)
        for ours, theirs in zip(stored, memory, strict=True):
            np.testing.assert_array_equal(all_patches(ours), all_patches(theirs))


def test_photographs_that_have_changed_are_read_again(folder, tmp_path):
    arguments = {"path": str(folder), "channels": 3, "cache": str(tmp_path / "cache")}
    load_photographs("folder", **arguments)
    Image.fromarray(255 - PHOTOS[2]).save(folder / "2.png")
    _, images = load_photographs("folder", **arguments)
    np.testing.assert_array_equal(images[2], 255 - PHOTOS[2])
    np.testing.assert_array_equal(images[3], PHOTOS[3])


def test_pictures_are_upright_opaque_and_in_the_channels_that_are_asked_for(tmp_path):
    """Turned by EXIF, with a palette, of 16 bits, gray, partly transparent, CMYK."""
    color, gray = random_uint8(4, 6, 3), random_uint8(4, 6, seed=1)
    exif = Image.Exif()
    exif[0x0112] = 6  # The camera was turned: shown a quarter turn clockwise.
    Image.fromarray(color).save(tmp_path / "0.png", exif=exif)
    Image.fromarray(gray, "L").convert("P").save(tmp_path / "1.png")
    Image.fromarray(gray.astype(np.uint16) * 257).save(tmp_path / "2.png")
    Image.fromarray(gray).save(tmp_path / "3.png")
    alpha = np.zeros((4, 6), np.uint8)
    alpha[:, :3] = 255
    Image.fromarray(np.dstack([color, alpha])).save(tmp_path / "4.png")
    Image.fromarray(np.zeros((4, 6, 4), np.uint8), "CMYK").save(tmp_path / "5.jpg")
    _, images = load_photographs("folder", path=str(tmp_path), channels=3)
    in_color = np.repeat(gray[..., None], 3, axis=2)
    expected = [np.rot90(color, -1), *[in_color] * 3, color * (alpha > 0)[..., None]]
    for ours, theirs in zip(images[:5], expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert images[5].min() >= 254  # No ink on white paper.
    _, grays = load_photographs("folder", path=str(tmp_path), channels=1)
    assert [image.shape for image in grays] == [(6, 4, 1), *[(4, 6, 1)] * 5]
    np.testing.assert_array_equal(grays[3][..., 0], gray)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("cached", [False, True])
def test_arrays_of_larger_images(tmp_path, dtype, cached):
    images = random_uint8(6, 12, 10, 1)
    if dtype is np.float32:
        images = (images / np.float32(255)).astype(np.float32)
    np.savez(tmp_path / "data.npz", images=images)
    cache = str(tmp_path / "cache") if cached else ""
    arguments = {"path": str(tmp_path / "data.npz"), "cache": cache}
    training, validation = load_patches("npz", **arguments, image_size=5, channels=1)
    assert training.dtype == validation.dtype == dtype
    assert (len(training), len(validation)) == (5 * 8 * 6, 4)
    first = images[split_indices(6, 0.1)[0][0]]
    np.testing.assert_array_equal(training[np.array([1])][0], first[:5, 1:6])
    colored, _ = load_patches("npz", **arguments, image_size=5, channels=3)
    assert colored.shape[1:] == (5, 5, 3)


@pytest.mark.parametrize("cached", [False, True])
def test_small_files_are_named_and_left_out(folder, tmp_path, caplog, cached):
    """At each start, with and without the cache."""
    cache = str(tmp_path / "cache") if cached else ""
    arguments = {"path": str(folder), "image_size": 18, "channels": 3, "cache": cache}
    for _ in range(2):
        caplog.clear()
        training, validation = load_patches("folder", **arguments)
        assert training.num_images + validation.num_images == 3
        (message,) = (record.getMessage() for record in caplog.records)
        assert message == (
            f"{folder}: left out, as smaller than a patch of 18 x 18 pixels: "
            f"{folder}/1.png (16 x 16), {folder}/2.png (40 x 17)"
        )


def test_of_many_small_files_some_are_named(folder, caplog, monkeypatch):
    monkeypatch.setattr(photographs, "_MAX_NAMES", 1)
    load_patches("folder", path=str(folder), image_size=18, channels=3)
    assert caplog.text.rstrip().endswith("1.png (16 x 16), and 1 more")


def test_small_images_of_an_array_are_refused_and_files_without_a_large_one(tmp_path, folder):
    np.savez(tmp_path / "data.npz", images=random_uint8(6, 12, 10, 1))
    too_large = r"`image_size` must not exceed height and width .*\(at most {}\)\. Received: {}"
    with pytest.raises(InvalidArgument, match=too_large.format(10, 11)):
        load_patches("npz", path=str(tmp_path / "data.npz"), image_size=11, channels=1)
    with pytest.raises(InvalidArgument, match=too_large.format(24, 25)):
        load_patches("folder", path=str(folder), image_size=25, channels=1)
    assert load_patches("folder", path=str(folder), image_size=20, channels=1)


def test_one_image_alone_is_refused(folder):
    with pytest.raises(InvalidArgument, match="`held_out_fraction` must leave training images"):
        load_patches("folder", path=str(folder), image_size=24, channels=1)


@pytest.mark.parametrize("cached", [False, True])
def test_damaged_files(folder, tmp_path, caplog, cached):
    """Refused, or named and left out; the names of small files stay right."""
    (folder / "0.png").write_bytes(b"nothing")
    cache = str(tmp_path / "cache") if cached else ""
    arguments = {"path": str(folder), "image_size": 17, "channels": 3, "cache": cache}
    with pytest.raises(InvalidArgument, match=r"`path` must hold images only .*0\.png"):
        load_patches("folder", **arguments)
    training, validation = load_patches("folder", **arguments, skip_damaged=True)
    assert training.num_images + validation.num_images == 3
    skipped, small = [record.getMessage() for record in caplog.records if record.levelno > 20]
    assert skipped.startswith(f"{folder}/0.png is skipped")
    assert small.endswith(f"pixels: {folder}/1.png (16 x 16)")
    with pytest.raises(InvalidArgument, match="hold images only"):
        load_patches("folder", **arguments)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((4, 8, 8), 1.5), r"hold pixels in \[0, 1\]"),
        (np.zeros((0, 8, 8), np.uint8), "hold images"),
        (np.ones((4, 8, 8), np.uint8), "of which 255 is white"),
        (np.ones((4, 8, 8), np.int32), "hold pixels of uint8, or floats"),
        (random_uint8(4, 8, 8, 2), "`channels` must be 2"),
    ],
)
@pytest.mark.parametrize("cached", [False, True])
def test_arrays_that_are_no_pixels_are_refused(tmp_path, images, message, cached):
    np.savez(tmp_path / "data.npz", images=images)
    cache = str(tmp_path / "cache") if cached else ""
    with pytest.raises(InvalidArgument, match=message):
        load_photographs("npz", path=str(tmp_path / "data.npz"), channels=1, cache=cache)


def test_other_sources_are_refused():
    with pytest.raises(InvalidArgument, match="`source` must be folder, npz or photographs"):
        load_photographs("digits", path="", channels=1)


def test_images_beyond_the_memory_are_refused_without_a_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(photographs, "memory_limit", lambda: 5_000)
    with pytest.raises(InvalidArgument, match=r"`cache` must name a folder .*after 3 images"):
        load_photographs("folder", path=str(folder), channels=3)
    cache = str(tmp_path / "cache")
    assert len(load_photographs("folder", path=str(folder), channels=3, cache=cache)[1]) == 5


def test_few_photographs_are_in_memory_while_the_cache_is_filled(folder, tmp_path, monkeypatch):
    """The first and the last one, when the next one is read."""
    read, alive = readers.read_picture, []

    def read_and_look(name: str) -> np.ndarray:
        assert sum(reference() is not None for reference in alive) <= 2
        pixels = read(name)
        alive.append(weakref.ref(pixels))
        return pixels

    monkeypatch.setattr(readers, "read_picture", read_and_look)
    cache = str(tmp_path / "cache")
    load_photographs("folder", path=str(folder), channels=3, cache=cache)
    assert len(alive) == 5
