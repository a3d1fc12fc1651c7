"""Feature extraction, and the small classifier that is trained for it."""

import hashlib

import keras
import numpy as np
import pytest

from tf_mdsm.datasets.labels import load_labels
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.classifier import (
    NUM_FEATURES,
    accuracy,
    classifier_features,
    train_classifier,
)
from tf_mdsm.evaluation.features import extract_in_batches, fingerprint


def random_uint8(*shape, seed=0):
    return np.random.default_rng(seed).integers(256, size=shape).astype(np.uint8)


def stub_network(batch):
    """Features and logits without weights."""
    return batch.reshape(len(batch), -1) * 2.0, batch.mean(axis=(1, 2))


def test_features_do_not_depend_on_the_batch_size():
    images = random_uint8(23, 4, 4, 3)
    expected = extract_in_batches(stub_network, images, 23)
    for batch_size in (1, 5, 100):
        for ours, theirs in zip(
            extract_in_batches(stub_network, images, batch_size), expected, strict=True
        ):
            assert ours.dtype == np.float64
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_have_the_features_of_their_image_file(dtype):
    images = random_uint8(5, 4, 4, 1)
    floats = (images / 255).astype(dtype)
    of_floats = extract_in_batches(stub_network, floats, 2)
    of_levels = extract_in_batches(stub_network, images, 2)
    for ours, theirs in zip(of_floats, of_levels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 4, 4, 1)), r"be images \[N, H, W, C\]"),
        (np.zeros((4, 4, 1)), r"be images \[N, H, W, C\]"),
        (np.zeros((2, 4, 4, 1), np.int64), "be uint8 or float"),
        (np.full((2, 4, 4, 1), 1.5), r"pixels in \[0, 1\]"),
        (np.full((2, 4, 4, 1), np.nan), r"pixels in \[0, 1\]"),
    ],
)
def test_arrays_that_are_not_images_are_refused(images, message):
    with pytest.raises(InvalidArgument, match=message):
        extract_in_batches(stub_network, images, 8)


def test_a_fingerprint_depends_on_all_contents():
    content = bytes(range(100))
    expected = hashlib.sha256(content).hexdigest()[:16]
    assert fingerprint([content[:30], content[30:]]) == expected
    assert fingerprint([content[:-1]]) != expected


def test_a_classifier_of_digits(tmp_path):
    """Nine of ten validation digits are right after seconds; the file gives the same features."""
    training, validation = load_images("digits", image_size=8, channels=1)
    labels, validation_labels = load_labels("digits")
    path = str(tmp_path / "classifier.keras")
    trained = classifier_features(train_classifier(training, labels, path, steps=150), "digits")
    assert accuracy(trained, validation, validation_labels) > 0.9
    assert trained.name == "classifier(digits)"
    assert len(trained.fingerprint) == 16
    features, logits = trained.extract(validation)
    assert features.shape == (180, trained.size) == (180, NUM_FEATURES)
    assert logits.shape == (180, 10)
    assert features.dtype == logits.dtype == np.float64
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    loaded = classifier_features(train_classifier(training, labels, path, steps=150), "digits")
    assert file.stat().st_mtime_ns == written
    assert loaded.fingerprint == trained.fingerprint
    np.testing.assert_array_equal(loaded.extract(validation)[0], features)


def test_classifiers_depend_on_their_data_and_are_not_loaded_for_other_data(tmp_path):
    images, labels = random_uint8(40, 12, 10, 3), np.arange(40) % 4
    path = str(tmp_path / "classifier.keras")

    def trained(images, labels, steps, path=path):
        model = train_classifier(images, labels, path, steps)
        return classifier_features(model, "noise").fingerprint

    first = trained(images, labels, 2)
    keras.utils.set_random_seed(7)
    assert trained(images, labels, 2, str(tmp_path / "again" / "classifier.keras")) == first
    others = {trained(images[::-1], labels, 2), trained(images, labels, 3)}
    assert len({first, *others}) == 3
    assert len(list(tmp_path.glob("classifier_*.keras"))) == 3


def test_wrong_labels_images_and_files_are_refused(tmp_path):
    images, labels = random_uint8(10, 8, 8, 1), np.arange(10)
    path = str(tmp_path / "classifier.keras")
    for wrong in (labels[:9], labels / 2, labels - 1, labels[:, None]):
        with pytest.raises(InvalidArgument, match="`labels` must be integers from 0"):
            train_classifier(images, wrong, path, 1)
    features = classifier_features(train_classifier(images, labels, path, 1), "noise")
    with pytest.raises(InvalidArgument, match=r"be of shape \(8, 8, 1\) each"):
        features.extract(random_uint8(3, 8, 8, 3))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RunError, match="cannot be read"):
        train_classifier(images, labels, path, 1)
