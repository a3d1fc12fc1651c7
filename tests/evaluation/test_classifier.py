"""The small classifier whose features are compared: training, its file, its features."""

import keras
import numpy as np
import pytest

from tests.helpers.eager import uncompiled
from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets.labels import load_labels
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.classifier import (
    accuracy,
    classifier_features,
    shifted,
    train_classifier,
)
from tf_mdsm.evaluation.features import FeatureExtractor


def test_a_classifier_of_digits(tmp_path):
    """Nine of ten validation digits are right after seconds; the file gives the same features."""
    training, validation = load_images("digits", image_size=8, channels=1)
    labels, validation_labels = load_labels("digits")
    path = str(tmp_path / "classifier.keras")
    trained = classifier_features(train_classifier(training, labels, path, steps=100), "digits")
    assert accuracy(trained, validation, validation_labels) > 0.9
    assert trained.name == "classifier(digits)"
    assert len(trained.fingerprint) == 16
    features, logits = trained.extract(validation)
    assert features.shape == (180, trained.size) == (180, 64)
    assert logits.shape == (180, 10)
    assert features.dtype == logits.dtype == np.float32
    (file,) = tmp_path.iterdir()
    written = file.stat().st_mtime_ns
    loaded = classifier_features(train_classifier(training, labels, path, steps=100), "digits")
    assert file.stat().st_mtime_ns == written
    assert loaded.fingerprint == trained.fingerprint
    np.testing.assert_array_equal(loaded.extract(validation)[0], features)


def test_classifiers_depend_on_their_data_and_are_not_loaded_for_other_data(tmp_path):
    images, labels = random_uint8(40, 12, 10, 3), np.arange(40) % 4
    path = str(tmp_path / "classifier.keras")

    def trained(images, labels, steps, path=path):
        with uncompiled():
            model = train_classifier(images, labels, path, steps)
        return classifier_features(model, "noise").fingerprint

    first = trained(images, labels, 2)
    keras.utils.set_random_seed(7)
    assert trained(images, labels, 2, str(tmp_path / "again" / "classifier.keras")) == first
    others = {trained(images[::-1], labels, 2), trained(images, labels, 3)}
    assert len({first, *others}) == 3
    assert len(list(tmp_path.glob("classifier_*.keras"))) == 3


def test_a_deep_classifier_is_kept_beside_the_small_one(tmp_path):
    """Its training moves images, its features have another size, and its name says what it is."""
    training, validation = load_images("digits", image_size=8, channels=1)
    labels, _ = load_labels("digits")
    path = str(tmp_path / "classifier.keras")
    with uncompiled():
        train_classifier(training, labels, path, 1)
        deep = train_classifier(training, labels, path, 2, kind="deep_classifier")
        features = classifier_features(deep, "digits", "deep_classifier")
        assert features.name == "deep_classifier(digits)"
        assert features.size == 96
        assert features.extract(validation[:5])[0].shape == (5, 96)
    assert len(list(tmp_path.glob("classifier_*.keras"))) == 2


def test_moved_images_are_windows_of_the_image_with_its_edge_repeated():
    """All 25 windows of a shift by up to 2 come up equally often (chi-squared, 24 degrees)."""
    image = np.arange(20, dtype=np.float32).reshape(1, 4, 5, 1)
    padded = np.pad(image[0, ..., 0], 2, "edge")
    windows = [padded[top : top + 4, left : left + 5] for top in range(5) for left in range(5)]
    moved = shifted(np.repeat(image, 5_000, 0), 2, np.random.default_rng(0))[..., 0]
    counts = np.array([(moved == window).all((1, 2)).sum() for window in windows])
    assert counts.sum() == 5_000
    # Its 0.999 quantile.
    assert np.sum((counts - 200) ** 2 / 200) < 51.2
    np.testing.assert_array_equal(shifted(image, 0, np.random.default_rng(0)), image)


def test_accuracy_is_the_share_of_right_labels():
    """By the largest logit: classes 2, 0 and 1 of an extractor that knows its images."""
    logits = np.array([[0.0, 1, 2], [5, 4, 3], [-2, -1, -3]])
    extractor = FeatureExtractor("known", "", 3, lambda images: (logits, logits))
    images = np.zeros((3, 1, 1, 1), np.uint8)
    assert accuracy(extractor, images, np.array([2, 0, 1])) == 1
    assert accuracy(extractor, images, np.array([2, 1, 0])) == pytest.approx(1 / 3)


def test_wrong_labels_images_and_files_are_refused(tmp_path):
    """A damaged file is never taken for a new one: the message says to delete it."""
    images, labels = random_uint8(10, 8, 8, 1), np.arange(10)
    path = str(tmp_path / "classifier.keras")
    for wrong in (labels[:9], labels / 2, labels - 1, labels[:, None]):
        with pytest.raises(InvalidArgument, match="`labels` must be integers from 0"):
            train_classifier(images, wrong, path, 1)
    with uncompiled():
        features = classifier_features(train_classifier(images, labels, path, 1), "noise")
    with pytest.raises(InvalidArgument, match=r"be of shape \(8, 8, 1\) each"):
        features.extract(random_uint8(3, 8, 8, 3))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"cannot be read .* delete it"):
        train_classifier(images, labels, path, 1)
