"""Labels of a data set: they belong to the images of the same index, for every source."""

import gzip
import struct

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

from tests.helpers.image_data import idx_bytes
from tf_mdsm.datasets import readers
from tf_mdsm.datasets.labels import load_labels
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.errors import InvalidArgument


@pytest.fixture
def idx_folder(tmp_path):
    """An IDX folder: all pixels of an image are 20 times its label. Labels are compressed."""
    for prefix, labels in (("train", [3, 1, 4, 1, 5]), ("t10k", [9, 2, 6])):
        labels = np.array(labels, np.uint8)
        images = np.tile(20 * labels[:, None, None], (1, 4, 4))
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        compressed = gzip.compress(idx_bytes(labels))
        (tmp_path / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(compressed)
    return tmp_path


def test_idx_labels(idx_folder):
    sets = load_images("idx", path=str(idx_folder), image_size=4, channels=1)
    for images, labels in zip(sets, load_labels("idx", path=str(idx_folder)), strict=True):
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(images[:, 0, 0, 0], 20 * labels)
    swapped = load_labels("idx", path=str(idx_folder), split="test", held_out_split="train")
    assert [len(labels) for labels in swapped] == [3, 5]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "be a folder that holds train-labels-idx1-ubyte"),
        (b"\0\0\x08", "hold a readable IDX file"),
        (struct.pack(">2I", 0x801, 5) + b"1234", "hold 5 bytes of labels"),
        (struct.pack(">2I", 0x801, 5) + b"123456", "hold 5 bytes of labels"),
        (idx_bytes(np.zeros((5, 4, 4), np.uint8)), "hold IDX labels of unsigned bytes"),
    ],
)
def test_idx_files_without_labels_are_named(idx_folder, content, message):
    (idx_folder / "train-labels-idx1-ubyte.gz").unlink()
    if content is not None:
        (idx_folder / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(InvalidArgument, match=message):
        load_labels("idx", path=str(idx_folder))


@pytest.mark.parametrize("fraction", [0.1, 0.37])
def test_digit_labels(fraction):
    digits = load_digits()
    label_of = {
        (image / 16).astype(np.float32).tobytes(): label
        for image, label in zip(digits.images, digits.target, strict=True)
    }
    settings = {"held_out_fraction": fraction}
    sets = load_images("digits", image_size=8, channels=1, **settings)
    for images, labels in zip(sets, load_labels("digits", **settings), strict=True):
        expected = [label_of[image.tobytes()] for image in images]
        np.testing.assert_array_equal(labels, expected)


def test_npz_labels(tmp_path):
    path = str(tmp_path / "data.npz")
    labels = np.arange(40, dtype=np.uint8)
    np.savez(path, images=np.tile(labels[:, None, None, None], (1, 4, 4, 3)), labels=labels)
    sets = load_images("npz", path=path, image_size=4, channels=3, held_out_fraction=0.25)
    label_sets = load_labels("npz", path=path, held_out_fraction=0.25)
    for images, labels in zip(sets, label_sets, strict=True):
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "hold an array named `labels`"),
        ({"labels": np.zeros(5)}, "hold `labels` that are integers"),
        ({"labels": np.zeros(4, int)}, r"a label for each image, \(5,\). Received: \(4,\)"),
        ({"labels": np.zeros((5, 1), int)}, "a label for each image"),
        ({"labels": np.array([object()])}, r"be a readable \.npz file"),
    ],
)
def test_npz_without_labels_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "data.npz", images=np.zeros((5, 4, 4), np.uint8), **arrays)
    with pytest.raises(InvalidArgument, match=message):
        load_labels("npz", path=str(tmp_path / "data.npz"))


def test_tfds_labels():
    """Compared with a data set that yields images and labels together."""
    with tfds.testing.mock_data(num_examples=5):
        label_sets = load_labels("tfds", name="cifar10")
        sets = load_images("tfds", name="cifar10", image_size=32, channels=3)
        for split, images, labels in zip(("train", "test"), sets, label_sets, strict=True):
            assert labels.dtype == np.int64
            pairs = list(tfds.load("cifar10", split=split, as_supervised=True).as_numpy_iterator())
            np.testing.assert_array_equal(images, [image for image, _ in pairs])
            np.testing.assert_array_equal(labels, [label for _, label in pairs])
            assert len(set(labels)) > 1


def test_tfds_names_without_labels_are_refused():
    with tfds.testing.mock_data(num_examples=2):
        with pytest.raises(
            InvalidArgument, match="`name` must be a data set with a feature `label"
        ):
            load_labels("tfds", name="celeb_a")
        with pytest.raises(InvalidArgument, match="`held_out_split` must differ"):
            load_labels("tfds", name="cifar10", held_out_split="train")


@pytest.mark.parametrize("labels", [np.zeros((3, 2), np.int64), np.zeros(3)])
def test_tfds_labels_that_are_no_classes_are_refused(monkeypatch, labels):
    """Several labels an image, or labels that are no integers."""
    data = tf.data.Dataset.from_tensor_slices(labels)
    monkeypatch.setattr(readers, "read_tfds", lambda *_: data)
    with pytest.raises(InvalidArgument, match="`label` is one class per image"):
        load_labels("tfds", name="anything")


@pytest.mark.parametrize("source", ["folder", "synthetic", "imagenet"])
def test_other_sources_have_no_labels(source):
    with pytest.raises(InvalidArgument, match=r"have labels \(tfds, idx, digits, npz\)"):
        load_labels(source)


def test_labels_need_images_left_to_train_on():
    with pytest.raises(InvalidArgument, match="leave training images"):
        load_labels("digits", held_out_fraction=0.9999)
