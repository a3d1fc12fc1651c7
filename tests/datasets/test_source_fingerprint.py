"""Fingerprints of sources: equal for the same images, wherever they are."""

import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from tests.helpers.image_data import idx_bytes, random_uint8
from tf_mdsm.datasets import source_fingerprint as module
from tf_mdsm.datasets.source_fingerprint import fingerprint_source
from tf_mdsm.errors import InvalidArgument


def content(source: str, **arguments) -> str:
    return fingerprint_source(source, **arguments).content


def test_a_folder_is_known_by_its_pictures(tmp_path):
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for name, image in zip(("a.png", "deep/b.png"), random_uint8(2, 8, 8), strict=True):
        Image.fromarray(image).save(folder / name)
    found = fingerprint_source("folder", path=str(folder))
    assert (found.place, found.num_files) == (str(folder), 2)
    # Other files, and other ways to the same folder, do not matter.
    (folder / "notes.txt").write_text("not a picture")
    (tmp_path / "link").symlink_to(folder)
    assert fingerprint_source("folder", path=str(folder / "deep" / "..")) == found
    assert fingerprint_source("folder", path=str(tmp_path / "link")) == found
    copied = fingerprint_source("folder", path=str(shutil.copytree(folder, tmp_path / "copy")))
    assert (copied.content, copied.state == found.state) == (found.content, False)
    (folder / "deep" / "b.png").rename(folder / "B.png")  # Now it comes first.
    assert content("folder", path=str(folder)) != found.content


def test_files_are_read_only_if_something_is_new(tmp_path, monkeypatch):
    path = tmp_path / "data.npz"
    np.savez(path, images=random_uint8(4, 8, 8))
    found = fingerprint_source("npz", path=str(path))
    contents = []
    monkeypatch.setattr(module, "content_of_files", lambda *_, **__: contents.append(1) or "new")
    assert fingerprint_source("npz", path=str(path), known=found) == found
    assert not contents
    np.savez(path, images=random_uint8(4, 8, 8))
    assert fingerprint_source("npz", path=str(path), known=found).content == "new"


def test_labels_may_be_added_to_a_file(tmp_path):
    path, images = str(tmp_path / "data.npz"), random_uint8(4, 8, 8)
    np.savez(path, images=images)
    found = content("npz", path=path)
    np.savez(path, labels=np.arange(4), images=images)
    assert content("npz", path=path) == found


def test_both_splits_of_idx_files_count(tmp_path):
    for name in ("train", "t10k"):
        path = tmp_path / f"{name}-images-idx3-ubyte"
        path.write_bytes(idx_bytes(random_uint8(4, 8, 8)))
    found = fingerprint_source("idx", path=str(tmp_path))
    assert found.num_files == 2
    path.write_bytes(idx_bytes(random_uint8(4, 8, 8, seed=1)))
    assert content("idx", path=str(tmp_path)) != found.content


def test_a_data_set_of_tfds_is_known_by_its_full_name():
    with tfds.testing.mock_data(num_examples=1):
        found = fingerprint_source("tfds", name="mnist")
        assert found.place == "mnist/3.0.1"
        assert content("tfds", name="mnist:3.0.1") == found.content
        assert content("tfds", name="fashion_mnist") != found.content
        with pytest.raises(InvalidArgument, match="TFDS knows"):
            fingerprint_source("tfds", name="no_such_data")


def test_computed_images_are_known_by_their_name():
    blobs = fingerprint_source("synthetic", name="blobs")
    assert (blobs.place, blobs.num_files) == ("blobs", 0)
    assert blobs.content != content("synthetic", name="mixture")
    digits = fingerprint_source("digits", name="cifar10")  # A name that digits ignore.
    assert digits == fingerprint_source("digits", path="/nowhere")


@pytest.mark.parametrize("source", ["npz", "folder", "idx"])
def test_missing_files_are_named(tmp_path, source):
    with pytest.raises(InvalidArgument, match=r"`path` must .*nothing"):
        fingerprint_source(source, path=str(tmp_path / "nothing"))
