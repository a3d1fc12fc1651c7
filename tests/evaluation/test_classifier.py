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
    NUM_FEATURES,
    _new_classifier,
    accuracy,
    classifier_features,
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
    assert features.shape == (180, trained.size) == (180, NUM_FEATURES)
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


@pytest.mark.parametrize(
    ("shape", "seen"), [((32, 8, 1), (32, 8)), ((33, 32, 3), (17, 16)), ((256, 64, 1), (32, 8))]
)
def test_a_classifier_sees_no_more_than_32_pixels_a_side(shape, seen):
    """Its cost does not grow with the images; up to 32 pixels it sees the images themselves."""
    classifier = _new_classifier(shape, 4)
    first = next(x for x in classifier.layers if isinstance(x, keras.layers.Conv2D))
    images = np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32)
    network = keras.Model(classifier.inputs[0], first.input)
    inputs = network(images).numpy()
    assert inputs.shape == (2, *seen, shape[-1])
    np.testing.assert_allclose(inputs.mean(), images.mean(), atol=0.05)
    # A block in the middle.
    side = -(-shape[0] // 32)
    block = images[:, side : 2 * side, side : 2 * side].mean((1, 2))
    np.testing.assert_allclose(inputs[:, 1, 1], block, rtol=1e-5)


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
