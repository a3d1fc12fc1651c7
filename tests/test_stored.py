"""Cache of images on disk: the same images as in memory, written once and atomically."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from small_runs import assert_same_weights, final_weights, small_config

from tf_mdsm.datasets import loading
from tf_mdsm.datasets.batches import training_batches
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.datasets.npy_store import open_npy, write_npy
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.runs.train import train


def random_images(count, side=8, channels=1, seed=0):
    shape = (count, side, side, channels)
    return np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("lengths", [[5], [0, 3, 0, 4], [1] * 12])
def test_parts_are_written_as_one_array(lengths, dtype, tmp_path):
    images = random_images(sum(lengths)).astype(dtype)
    path = str(tmp_path / "images.npy")
    write_npy(iter(np.split(images, np.cumsum(lengths)[:-1])), path)
    stored = open_npy(path)
    assert isinstance(stored, np.memmap)
    np.testing.assert_array_equal(stored, images)
    np.testing.assert_array_equal(np.load(path), images)


@pytest.fixture
def sources(tmp_path):
    """Arguments of `load_images` by source."""
    np.savez(tmp_path / "data.npz", images=random_images(2_500))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(random_images(30, 12, 3)):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    return {
        "digits": {"channels": 1},
        "npz": {"path": str(tmp_path / "data.npz"), "channels": 1, "image_size": 6},
        "folder": {"path": str(folder), "channels": 1},
        "tfds": {"name": "cifar10", "channels": 3},
    }


@pytest.mark.parametrize("source", ["digits", "npz", "folder", "tfds"])
def test_the_cache_holds_the_same_images_as_memory(source, sources, tmp_path, monkeypatch):
    """Both splits are the same, and the source is read once."""
    arguments = {"image_size": 8, "held_out_fraction": 0.2, **sources[source]}
    cache = str(tmp_path / "cache")
    with tfds.testing.mock_data(num_examples=6):
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
    arguments = {"path": str(folder), "image_size": 8, "channels": 3, "cache": str(tmp_path / "c")}
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


@pytest.mark.parametrize("first_step", [0, 5_000])
def test_batches_from_disk_are_those_from_memory(first_step, tmp_path):
    images = random_images(50, channels=3)
    write_npy([images], str(tmp_path / "images.npy"))
    arguments = {"batch_size": 12, "seed": 3, "flip": True, "first_step": first_step}
    both = [
        list(training_batches(source, num_replicas=2, **arguments).take(12).as_numpy_iterator())
        for source in (images, open_npy(str(tmp_path / "images.npy")))
    ]
    np.testing.assert_array_equal(*both)


def test_training_from_disk_is_training_from_memory(tmp_path):
    """The run from disk also resumes from memory."""
    runs = {}
    for name, cache in (("memory", ""), ("disk", str(tmp_path / "cache"))):
        config = small_config(training__num_steps=8, data__cache=cache)
        config.optimizer.schedule = "constant"
        train(config, str(tmp_path / name))
        config.training.num_steps, config.data.cache = 12, ""
        train(config, str(tmp_path / name))
        runs[name] = final_weights(tmp_path / name)
    assert_same_weights(runs["disk"], runs["memory"])
