"""Loading of sources: sizes, splits, refusals, and the cache of images on disk."""

import gzip
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests.helpers.image_data import idx_bytes, random_uint8
from tf_mdsm.datasets import loading
from tf_mdsm.datasets.loading import load_images, read_both_splits, split_off_validation
from tf_mdsm.errors import InvalidArgument


@pytest.fixture
def sources(tmp_path):
    """Arguments of `load_images` by source; all images are of 8 x 8 pixels."""
    idx, pictures, data = tmp_path / "idx", tmp_path / "pictures", tmp_path / "data.npz"
    idx.mkdir()
    (idx / "train-images-idx3-ubyte").write_bytes(idx_bytes(random_uint8(20, 8, 8)))
    test_images = idx_bytes(random_uint8(10, 8, 8, seed=1))
    (idx / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(test_images))
    pictures.mkdir()
    for number, image in enumerate(random_uint8(30, 8, 8, 3)):
        Image.fromarray(image).save(pictures / f"{number:02}.png")
    np.savez(data, images=random_uint8(250, 8, 8, 1))
    return {
        "digits": {"channels": 1},
        "idx": {"path": str(idx), "channels": 1},
        "npz": {"path": str(data), "channels": 1},
        "folder": {"path": str(pictures), "channels": 3},
    }


def test_digits_are_split_into_training_and_validation_images():
    training, validation = load_images("digits", image_size=8, channels=1)
    assert training.shape == (1617, 8, 8, 1)
    assert validation.shape == (180, 8, 8, 1)
    assert training.max() == 1
    together = np.concatenate([training, validation])
    assert len(np.unique(together.reshape(len(together), -1), axis=0)) == 1797


def test_both_splits_of_idx_files_are_padded(sources):
    training, validation = load_images("idx", **sources["idx"], image_size=12)
    padding = ((0, 0), (2, 2), (2, 2))
    for ours, theirs in (
        (training, random_uint8(20, 8, 8)),
        (validation, random_uint8(10, 8, 8, seed=1)),
    ):
        assert ours.dtype == np.uint8
        np.testing.assert_array_equal(ours[..., 0], np.pad(theirs, padding))


def test_folders_of_images_of_many_sizes(tmp_path):
    sizes = [(20, 12), (12, 30), (6, 6), (12, 12)]
    for number, (width, height) in enumerate(sizes):
        pixels = np.full((height, width, 3), 60 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    both = load_images("folder", path=str(tmp_path), image_size=12, channels=3)
    images = np.concatenate(both)
    assert images.shape == (4, 12, 12, 3)
    # An image of one color keeps it in the middle, whether it is cropped, scaled or padded.
    assert {int(image[6, 6, 0]) for image in images} == {0, 60, 120, 180}


def test_a_folder_of_damaged_images_alone_holds_no_images(tmp_path):
    (tmp_path / "0.png").write_bytes(b"nothing")
    arguments = {"path": str(tmp_path), "image_size": 8, "channels": 3}
    with pytest.raises(InvalidArgument, match=r"0\.png"):
        load_images("folder", **arguments)
    with pytest.raises(InvalidArgument, match="hold images"):
        load_images("folder", **arguments, skip_damaged=True)


def test_tfds_images_are_cropped_to_a_square():
    """The validation images come from the split that is named."""
    arguments = {"name": "celeb_a", "held_out_split": "validation", "crop": 140}
    with tfds.testing.mock_data(num_examples=3):
        both = load_images("tfds", **arguments, image_size=8, channels=1)
    for images in both:
        assert (images.shape, images.dtype) == ((3, 8, 8, 1), np.uint8)
        assert images.std() > 0


def test_synthetic_images():
    """A tenth of ten thousand images is held out."""
    points, held_out = load_images("synthetic", name="mixture", image_size=1, channels=2)
    assert (points.shape, held_out.shape) == ((9_000, 1, 1, 2), (1_000, 1, 1, 2))
    blobs, _ = load_images("synthetic", name="blobs", image_size=4, channels=3)
    assert blobs.shape == (9_000, 4, 4, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "imagenet"}, "`source` must be one of tfds, idx, digits"),
        ({"source": "synthetic", "name": "spiral"}, "`name` must be mixture or blobs"),
        ({"source": "synthetic", "name": "mixture"}, "`image_size` must be 1"),
        ({"source": "digits", "held_out_fraction": 0.9999}, "leave training images"),
        ({"source": "digits", "channels": 2}, "`channels` must be 1, as the data have"),
    ],
)
def test_wrong_sources_are_refused(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        load_images(**{"image_size": 8, "channels": 1, **arguments})


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((4, 8, 8), 1.5), r"hold pixels in \[0, 1\]"),
        (np.full((4, 8, 8), -0.1), r"hold pixels in \[0, 1\]"),
        (np.full((4, 8, 8), np.nan), r"hold pixels in \[0, 1\]"),
        (np.zeros((0, 8, 8), np.uint8), "hold images"),
        (np.zeros((1, 8, 8), np.uint8), "leave training images"),
    ],
)
def test_wrong_pixels_and_too_few_images_are_refused(tmp_path, images, message):
    np.savez(tmp_path / "data.npz", images=images)
    with pytest.raises(InvalidArgument, match=message):
        load_images("npz", path=str(tmp_path / "data.npz"), image_size=8, channels=1)


# Splits.


def test_both_splits_are_read_by_name():
    assert read_both_splits(str.upper, "train", "test") == ("TRAIN", "TEST")


def refuse_dev(split):
    if split == "dev":
        raise InvalidArgument("split", "be one of train, test", split)
    return split


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (("dev", "test"), "`split` must be one of train, test"),
        (("train", "dev"), "`held_out_split` must be one of train, test"),
        (("train", "train"), r"`held_out_split` must differ from split.*train\[90%:\]"),
    ],
)
def test_wrong_splits_are_refused(splits, message):
    with pytest.raises(InvalidArgument, match=message):
        read_both_splits(refuse_dev, *splits)


def test_other_errors_about_the_held_out_split_keep_their_field():
    def read(split):
        if split == "test":
            raise InvalidArgument("path", "hold images", "none")

    with pytest.raises(InvalidArgument, match="`path` must hold images"):
        read_both_splits(read, "train", "test")


@pytest.mark.parametrize(("fraction", "held_out"), [(0.25, 5), (0.01, 1)])
def test_a_fraction_is_split_off_at_random(fraction, held_out):
    """The parts are the whole, and follow from its length: labels are split as their images."""
    training, validation = split_off_validation(np.arange(20), fraction)
    assert len(validation) == held_out
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), np.arange(20))
    assert (np.diff(training) < 0).any()
    labels, _ = split_off_validation(np.arange(20) + 100, fraction)
    np.testing.assert_array_equal(labels, training + 100)


# The cache.


@pytest.mark.parametrize("source", ["digits", "idx", "npz", "folder"])
def test_the_cache_holds_the_same_images_as_memory(source, sources, tmp_path, monkeypatch):
    """Both splits are the same, and the source is read once. Files are written in parts."""
    monkeypatch.setattr(loading, "_BATCH_SIZE", 100)
    arguments = {"image_size": 6, "held_out_fraction": 0.2, **sources[source]}
    cache = str(tmp_path / "cache")
    expected = load_images(source, **arguments)
    first = load_images(source, **arguments, cache=cache)
    monkeypatch.setattr(loading, "_read_source", None)
    for images in (first, load_images(source, **arguments, cache=cache)):
        for ours, theirs in zip(images, expected, strict=True):
            assert isinstance(ours, np.memmap)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_the_name_of_a_cache_folder_is_that_of_earlier_versions(tmp_path):
    """Caches that earlier versions filled are found again."""
    load_images("digits", image_size=8, channels=1, cache=str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["5643c9d5517735fd"]
    assert sorted(path.name for path in (tmp_path / "5643c9d5517735fd").iterdir()) == [
        "held_out.npy",
        "training.npy",
    ]


def test_other_settings_have_other_files(tmp_path):
    cache = str(tmp_path)
    large, _ = load_images("digits", image_size=8, channels=1, cache=cache)
    small, _ = load_images("digits", image_size=6, channels=1, cache=cache)
    more, _ = load_images("digits", image_size=8, channels=1, held_out_fraction=0.3, cache=cache)
    assert [len(large), small.shape[1]] == [1_617, 6]
    assert len(more) == 1_258
    assert len(list(tmp_path.iterdir())) == 3


def test_a_source_that_fails_halfway_leaves_no_cache(sources, tmp_path):
    folder = tmp_path / "pictures"
    (folder / "99.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    arguments = {**sources["folder"], "image_size": 8, "cache": str(tmp_path / "c")}
    with pytest.raises(InvalidArgument, match=r"99\.png"):
        load_images("folder", **arguments)
    assert not list((tmp_path / "c").iterdir())
    (folder / "99.png").unlink()
    assert len(load_images("folder", **arguments)[0]) == 27


def test_a_cache_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InvalidArgument, match="`cache` must be a folder that can be written"):
        load_images("digits", image_size=8, channels=1, cache=str(tmp_path / "file"))
    load_images("digits", image_size=8, channels=1, cache=str(tmp_path / "cache"))
    (kept,) = (tmp_path / "cache").iterdir()
    (kept / "training.npy").write_bytes(b"something else")
    with pytest.raises(InvalidArgument, match="`cache` must be a folder"):
        load_images("digits", image_size=8, channels=1, cache=str(tmp_path / "cache"))


def test_a_second_process_uses_the_cache_of_the_first(tmp_path, monkeypatch):
    """The first process is ready while the second one still reads."""
    arguments = {"image_size": 8, "channels": 1, "cache": str(tmp_path / "cache")}
    read = loading._read_source

    def read_late(**settings):
        monkeypatch.setattr(loading, "_read_source", read)
        load_images("digits", **{**arguments, "cache": str(tmp_path / "other")})
        (folder,) = (tmp_path / "other").iterdir()
        shutil.copytree(folder, tmp_path / "cache" / folder.name)
        return read(**settings)

    monkeypatch.setattr(loading, "_read_source", read_late)
    assert len(load_images("digits", **arguments)[0]) == 1_617
