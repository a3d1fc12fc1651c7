"""From the configuration to features, reference statistics and out-of-distribution images."""

import functools
import hashlib

import numpy as np
import pytest

from tests.helpers import tiny_inception
from tests.helpers.evaluation_runs import quick_classifier
from tests.helpers.features import fit
from tests.helpers.image_data import random_uint8
from tests.helpers.small_runs import small_config
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.feature_statistics import load_feature_statistics
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.inception import load_inception
from tf_mdsm.evaluation.sample_quality import frechet_distance
from tf_mdsm.runs import build_evaluation
from tf_mdsm.runs.build_evaluation import (
    build_features,
    build_out_of_distribution,
    build_reference,
    build_reference_images,
    build_sample_distance,
    label_key,
    require_enough,
)
from tf_mdsm.runs.folder import RunFolder

TRAINING, VALIDATION = random_uint8(1617, 8, 8, 1), random_uint8(180, 8, 8, 1, seed=1)


def sums(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums over four rows as features."""
    features = images.reshape(len(images), 4, -1).sum(-1).astype(float)
    return features, features


FEATURES = FeatureExtractor("sums", "0123abcd", 4, sums)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "evaluation").mkdir()
    return RunFolder(str(tmp_path))


def config_of(evaluation=None, **fields):
    """A configuration with changes of `config.evaluation` and of other groups."""
    config = small_config(**fields)
    config.evaluation.update(evaluation or {})
    return config


@pytest.fixture
def known_features(monkeypatch):
    """`FEATURES` instead of a classifier's."""
    monkeypatch.setattr(build_evaluation, "build_features", lambda *_: FEATURES)


# Features.


def test_features_of_a_classifier_that_is_kept_in_the_runs_folder(folder):
    """It learns the labels of the configured data, and is named after them."""
    with quick_classifier():
        first = build_features(config_of(), folder, TRAINING, VALIDATION)
        again = build_features(config_of(), folder, TRAINING, VALIDATION)
    assert (first.name, first.size) == ("classifier(digits)", 64)
    assert again.fingerprint == first.fingerprint
    assert first.extract(VALIDATION)[1].shape == (180, 10)


def test_features_of_inception(folder, tmp_path, monkeypatch):
    """From the file of the settings, or else from the folder of downloads."""
    content = tiny_inception.frozen_graph()
    path = tmp_path / "classify_image_graph_def.pb"
    path.write_bytes(content)
    checksum = hashlib.sha256(content).hexdigest()
    known = functools.partial(load_inception, expected_sha256=checksum)
    monkeypatch.setattr(build_evaluation, "load_inception", known)
    monkeypatch.setattr(build_evaluation, "download_inception", lambda folder: str(path))
    for given in (str(path), ""):
        config = config_of({"features": "inception", "inception_path": given})
        features = build_features(config, folder, TRAINING, VALIDATION)
        assert features.fingerprint == checksum[:16]
    config.evaluation.inception_path = str(tmp_path / "missing.pb")
    with pytest.raises(InvalidArgument, match=r"evaluation\.inception_path` must be classify"):
        build_features(config, folder, TRAINING, VALIDATION)


def test_images_without_labels_cannot_train_a_classifier(folder, tmp_path):
    np.savez(tmp_path / "images.npz", images=TRAINING[:20])
    config = config_of(data__source="npz", data__path=str(tmp_path / "images.npz"))
    with pytest.raises(InvalidArgument, match=r"evaluation.features.*none.*labels"):
        build_features(config, folder, TRAINING[:18], TRAINING[18:20])
    assert not list((tmp_path / "evaluation").iterdir())


def test_labels_of_files_have_a_key_of_their_own(tmp_path):
    """It is that of the labels; those of other sources are known with their images."""
    path = str(tmp_path / "images.npz")

    def key(labels: np.ndarray, features: str = "classifier") -> str:
        np.savez(path, images=TRAINING[:20], labels=labels)
        return label_key(config_of({"features": features}, data__source="npz", data__path=path))

    labels = np.arange(20)
    assert key(labels) == key(labels.astype(np.int32)) != key(labels[::-1])
    assert key(labels, "inception") == label_key(config_of()) == ""


@pytest.mark.parametrize("count", [3, 4])
def test_as_many_samples_as_features_are_needed(count):
    if count < FEATURES.size:
        with pytest.raises(InvalidArgument, match=r"`num` must be at least the number .* \(4\)"):
            require_enough(FEATURES, count, "num")
    else:
        require_enough(FEATURES, count, "num")


# Reference.


def test_names_of_the_reference_images():
    """Splits have the names of the settings where the settings name them."""
    images, name = build_reference_images(config_of(), TRAINING, VALIDATION)
    assert (images is TRAINING, name) == (True, "training images, 1617 images")
    held_out = config_of({"reference": "held_out"})
    images, name = build_reference_images(held_out, TRAINING, VALIDATION)
    assert (images is VALIDATION, name) == (True, "held-out images, 180 images")
    for reference, name in (("train", "train[:9], 1617 images"), ("held_out", "test, 180 images")):
        config = config_of(
            {"reference": reference},
            data__source="tfds",
            data__split="train[:9]",
            data__held_out_split="test",
        )
        assert build_reference_images(config, TRAINING, VALIDATION)[1] == name


def test_statistics_are_computed_once_for_a_set_of_images(folder, tmp_path, monkeypatch):
    """In batches; kept in a file that other programs can read."""
    monkeypatch.setattr(build_evaluation, "_BATCH", 100)
    statistics = build_reference(config_of(), folder, FEATURES, VALIDATION)
    expected = fit(sums(VALIDATION)[0])
    np.testing.assert_allclose(statistics.mean, expected.mean, rtol=1e-12)
    np.testing.assert_allclose(statistics.covariance, expected.covariance, rtol=1e-9)
    (path,) = (tmp_path / "evaluation").glob("statistics_classifier_train_*.npz")
    np.testing.assert_array_equal(load_feature_statistics(str(path), 4).mean, statistics.mean)
    written = path.stat().st_mtime_ns
    again = build_reference(config_of(), folder, FEATURES, VALIDATION)
    assert path.stat().st_mtime_ns == written
    np.testing.assert_array_equal(again.covariance, statistics.covariance)
    build_reference(config_of(), folder, FEATURES, VALIDATION[::-1])
    assert len(list((tmp_path / "evaluation").iterdir())) == 2


def test_statistics_of_another_program(folder, tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, mu=np.arange(4.0), sigma=np.eye(4))
    config = config_of({"reference_statistics": str(path)})
    statistics = build_reference(config, folder, FEATURES, VALIDATION)
    np.testing.assert_array_equal(statistics.mean, np.arange(4))
    np.savez(path, mu=np.arange(5.0), sigma=np.eye(5))
    with pytest.raises(InvalidArgument, match=r"evaluation\.reference_statistics` must hold"):
        build_reference(config, folder, FEATURES, VALIDATION)
    assert not list((tmp_path / "evaluation").iterdir())


def test_fewer_reference_images_than_features_are_refused(folder):
    with pytest.raises(InvalidArgument, match=r"`config.evaluation.reference` .* features \(4\)"):
        build_reference(config_of(), folder, FEATURES, VALIDATION[:3])


# Distance of samples during training.


@pytest.mark.usefixtures("known_features")
def test_the_distance_of_samples_is_that_to_the_reference(folder):
    config = config_of(training__evaluation_samples=50)
    distance = build_sample_distance(config, folder, TRAINING, VALIDATION)
    assert (distance.num_samples, distance.features) == (50, "sums")
    expected = frechet_distance(fit(sums(VALIDATION)[0]), fit(sums(TRAINING)[0]))
    assert distance.compute(VALIDATION) == pytest.approx(expected, rel=1e-6)
    assert distance.compute(TRAINING) < 1e-6 * distance.compute(TRAINING // 2)


@pytest.mark.usefixtures("known_features")
def test_the_definition_of_a_distance_names_all_that_it_depends_on(folder):
    """Distances of different definitions are not compared."""

    def definition(**fields):
        config = config_of(training__evaluation_samples=50)
        config.update_from_flattened_dict(fields)
        return build_sample_distance(config, folder, TRAINING, VALIDATION).definition

    first = definition()
    assert "sums 0123abcd, n 50, training images, 1617 images" in first
    assert definition() == first
    changes = {
        "sampling.seed": 3,
        "training.evaluation_samples": 60,
        "evaluation.reference": "held_out",
    }
    assert len({first, *(definition(**{key: changes[key]}) for key in changes)}) == 4


@pytest.mark.usefixtures("known_features")
def test_too_few_samples_during_training_are_refused(folder):
    config = config_of(training__evaluation_samples=3)
    with pytest.raises(InvalidArgument, match=r"`config.training.evaluation_samples` .* \(4\)"):
        build_sample_distance(config, folder, TRAINING, VALIDATION)


# Out-of-distribution images.


def test_out_of_distribution_images_depend_on_the_seed():
    images = build_out_of_distribution(config_of(), VALIDATION)
    assert list(images) == ["uniform noise", "constant", "upside-down", "shuffled patches"]
    assert {array.shape for array in images.values()} == {VALIDATION.shape}
    np.testing.assert_array_equal(images["upside-down"], VALIDATION[:, ::-1])
    again = build_out_of_distribution(config_of({"seed": 5}), VALIDATION)
    changed = {name for name in images if (images[name] != again[name]).any()}
    assert changed == {"uniform noise", "constant", "shuffled patches"}


def test_images_that_cannot_be_cut_into_sixteen_patches_are_not_shuffled():
    images = build_out_of_distribution(config_of(), random_uint8(3, 6, 6, 1))
    assert "shuffled patches" not in images


def test_another_data_set_is_resized(tmp_path):
    """Its validation images, as many as the run has; pixels keep their mean."""
    images = np.random.default_rng(0).uniform(size=(40, 4, 4, 1)).astype(np.float32)
    np.savez(tmp_path / "other.npz", images=images)
    foreign = {"source": "npz", "name": "other", "path": str(tmp_path / "other.npz")}
    config = config_of({"foreign": {**foreign, "image_size": 4}})
    other = build_out_of_distribution(config, VALIDATION[:3])["other"]
    assert other.shape == (3, 8, 8, 1)
    assert 0 <= other.min() < other.max() <= 1
    config.data.image_size = 4
    unchanged = build_out_of_distribution(config, VALIDATION[:3])["other"]
    assert unchanged.shape == (3, 4, 4, 1)


def test_another_data_set_that_does_not_fit_is_refused(tmp_path):
    """The message is about one of its settings, or about what is wrong with its source."""
    path = tmp_path / "single.npz"
    np.savez(path, images=random_uint8(1, 8, 8, 1))
    for given, message in (
        ("nowhere.npz", r"evaluation\.foreign\.path` must"),
        (str(path), r"evaluation\.foreign\.source` must name images that fit .*held_out_fraction"),
    ):
        config = config_of({"foreign": {"source": "npz", "path": given}})
        with pytest.raises(InvalidArgument, match=message):
            build_out_of_distribution(config, VALIDATION)
