"""Loading of sources: sizes, splits, refusals, and the cache of images on disk."""

import gzip
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from tests.helpers.image_data import idx_bytes, random_uint8
from tf_mdsm.datasets import loading, readers, source_fingerprint
from tf_mdsm.datasets.labels import load_labels
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


def dated(path):
    """A file or folder whose files look as old as possible, as after `cp -p` of other files."""
    for file in [path, *path.rglob("*")]:
        os.utime(file, (1, 1))


def write_images(source: str, path, images: np.ndarray) -> None:
    """Writes images uint8 [N, H, W], a multiple of 3, in place of what is there."""
    if source == "npz":
        np.savez(path, images=images)
        return dated(path)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    if source == "folder":
        for number, image in enumerate(images):
            Image.fromarray(image).save(path / f"{number:02}.png")
        return dated(path)
    third = len(images) // 3
    for name, part in (("train", images[third:]), ("t10k", images[:third])):
        (path / f"{name}-images-idx3-ubyte").write_bytes(idx_bytes(part))
    return dated(path)


@pytest.fixture(params=["npz", "folder", "idx"])
def changing(request, tmp_path):
    """A source whose files may change: writes images, and reads them through a cache."""
    place = tmp_path / "data.npz" if request.param == "npz" else tmp_path / "data"

    def write(images, path=place):
        write_images(request.param, path, images)

    def load(path=place, **changes):
        arguments = {"image_size": 8, "channels": 1, "cache": str(tmp_path / "cache"), **changes}
        return load_images(request.param, path=str(path), **arguments)

    return write, load, place


def assert_cached_as_in_memory(load, **changes):
    for ours, theirs in zip(load(**changes), load(**changes, cache=""), strict=True):
        assert isinstance(ours, np.memmap)
        np.testing.assert_array_equal(ours, theirs)


def test_images_that_have_changed_are_read_again(changing):
    """All others, one other of the same size, other order, one more, one less, and back again."""
    write, load, _ = changing
    images = random_uint8(30, 8, 8)
    write(images)
    assert_cached_as_in_memory(load)
    other = images.copy()
    other[7, 3, 3] ^= 1
    for changed in (255 - images, other, images[::-1], random_uint8(33, 8, 8), images[:27], images):
        write(changed)
        assert_cached_as_in_memory(load)


def test_images_that_were_moved_or_touched_are_not_read_again(changing, tmp_path, monkeypatch):
    write, load, place = changing
    write(random_uint8(30, 8, 8))
    expected = load()
    monkeypatch.setattr(loading, "_read_source", None)
    for file in [place, *place.rglob("*")]:
        os.utime(file)
    again = load()
    moved = place.rename(tmp_path / f"moved{place.suffix}")
    for images in (again, load(moved)):
        for ours, theirs in zip(images, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_files_that_have_not_changed_are_not_read_to_find_that_out(changing, monkeypatch):
    write, load, _ = changing
    write(random_uint8(30, 8, 8))
    load()
    monkeypatch.setattr(source_fingerprint, "content_of_files", None)
    monkeypatch.setattr(loading, "_read_source", None)
    assert len(load()) == 2


def test_images_that_change_while_they_are_read_are_refused(changing, tmp_path, monkeypatch):
    write, load, _ = changing
    write(random_uint8(30, 8, 8))
    read = loading._read_source

    def read_and_change(**settings):
        parts = read(**settings)
        write(random_uint8(30, 8, 8, seed=1))
        return parts

    monkeypatch.setattr(loading, "_read_source", read_and_change)
    with pytest.raises(InvalidArgument, match="`path` must not change while it is read"):
        load()
    assert not list((tmp_path / "cache").iterdir())


def test_two_projects_with_one_relative_path_share_a_cache(tmp_path, monkeypatch):
    for name, value in (("cats", 64), ("dogs", 191)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "images.npz", images=np.full((20, 8, 8), value, np.uint8))
    for name, value in (("cats", 64), ("dogs", 191), ("cats", 64)):
        monkeypatch.chdir(tmp_path / name)
        images, _ = load_images(
            "npz", path="images.npz", image_size=8, channels=1, cache=str(tmp_path / "cache")
        )
        assert (images == value).all()


def test_labels_fit_the_cached_images_of_a_file_in_another_order(tmp_path):
    """Images come from the cache, labels from the file itself."""
    path, order = str(tmp_path / "data.npz"), np.random.default_rng(5).permutation(20)
    labels = np.arange(20)
    images = np.full((20, 8, 8), 10, np.uint8) * labels[:, None, None].astype(np.uint8)
    arguments = {"image_size": 8, "channels": 1, "cache": str(tmp_path / "cache")}
    for indices in (labels, order):
        np.savez(path, images=images[indices], labels=labels[indices])
        cached, _ = load_images("npz", path=path, **arguments)
        np.testing.assert_array_equal(cached[:, 0, 0, 0] // 10, load_labels("npz", path=path)[0])


def test_a_cache_of_another_format_is_not_used(changing, monkeypatch):
    write, load, _ = changing
    write(random_uint8(30, 8, 8))
    load()
    monkeypatch.setattr(loading, "_FORMAT", loading._FORMAT + 1)
    monkeypatch.setattr(loading, "_read_source", None)
    with pytest.raises(TypeError):  # It would be read again.
        load()


def test_a_damaged_memory_of_sources_is_no_obstacle(changing, tmp_path):
    write, load, _ = changing
    write(random_uint8(30, 8, 8))
    load()
    (memory,) = (tmp_path / "cache").glob("source_*.json")
    for content in ("", "[]", '{"state": 1}', '{"place": "", "num_files": 1}'):
        memory.write_text(content)
        assert_cached_as_in_memory(load)


def test_another_version_of_a_tfds_data_set_is_read_again(tmp_path, monkeypatch):
    arguments = {"name": "mnist", "image_size": 8, "channels": 1, "cache": str(tmp_path)}
    with tfds.testing.mock_data(num_examples=20):
        load_images("tfds", **arguments)
        folders = set(tmp_path.iterdir())
        load_images("tfds", **{**arguments, "name": "mnist:3.*.*"})
        assert set(tmp_path.iterdir()) == folders
        monkeypatch.setattr(readers, "tfds_full_name", lambda *_: "mnist/4.0.0")
        load_images("tfds", **arguments)
        assert len(list(tmp_path.iterdir())) == 2


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


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The folder of a prepared data set `levels` of TensorFlow Datasets: 20 images a split."""
    folder = tmp_path_factory.mktemp("tfds")
    levels = np.tile(np.arange(20, dtype=np.uint8)[:, None, None, None] * 12, (1, 8, 8, 1))
    tfds.dataset_builders.store_as_tfds_dataset(
        name="levels",
        version="1.0.0",
        data_dir=folder,
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices({"image": levels})
            for split in ("train", "test")
        },
        features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(8, 8, 1))}),
        disable_shuffling=True,
    )
    return str(folder)


@pytest.mark.parametrize(
    ("split", "held_out_split", "shared"),
    [
        ("train", "test", 0),
        ("train[:50%]", "train[50%:]", 0),
        ("train[:5]", "train[15:]", 0),
        ("train", "train[:50%]", 10),
        ("train[:12]", "train[8:]", 4),
        ("train+test", "test", 20),
    ],
)
def test_splits_that_share_examples_are_refused(prepared, split, held_out_split, shared):
    arguments = {"name": "levels", "data_dir": prepared, "image_size": 8, "channels": 1}
    splits = {"split": split, "held_out_split": held_out_split}
    if not shared:
        assert all(len(images) for images in load_images("tfds", **arguments, **splits))
        return
    with pytest.raises(InvalidArgument, match=rf"`held_out_split` must share no .* {shared} exam"):
        load_images("tfds", **arguments, **splits)


def test_the_advice_for_equal_splits_can_be_followed(prepared):
    splits = {"split": "train[:5]", "held_out_split": "train[:5]"}
    with pytest.raises(InvalidArgument, match=r"train\[:90%\] and train\[90%:\]"):
        load_images("tfds", name="levels", data_dir=prepared, image_size=8, channels=1, **splits)
