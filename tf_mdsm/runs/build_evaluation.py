"""From `config.evaluation` to features, reference statistics and out-of-distribution images."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os

import numpy as np
import tensorflow as tf
from ml_collections import ConfigDict

from tf_mdsm.datasets.labels import load_labels
from tf_mdsm.datasets.loading import load_images
from tf_mdsm.datasets.pixels import to_float
from tf_mdsm.errors import InvalidArgument, errors_about
from tf_mdsm.evaluation.classifier import (
    CLASSIFIERS,
    accuracy,
    classifier_features,
    train_classifier,
)
from tf_mdsm.evaluation.feature_statistics import (
    FeatureStatistics,
    fit_feature_statistics,
    load_feature_statistics,
    save_feature_statistics,
)
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.inception import download_inception, load_inception
from tf_mdsm.evaluation.out_of_distribution import (
    constant_images,
    shuffled_patches,
    uniform_noise,
    upside_down,
)
from tf_mdsm.evaluation.sample_quality import frechet_distance
from tf_mdsm.runs.folder import RunFolder
from tf_mdsm.system.fingerprints import content_of_path, fingerprint
from tf_mdsm.training.monitor import SampleDistance

__all__ = [
    "build_features",
    "build_out_of_distribution",
    "build_reference",
    "build_reference_images",
    "build_sample_distance",
    "label_key",
    "require_enough",
]

_LOGGER = logging.getLogger(__name__)

# Images whose features are computed at a time.
_BATCH = 1_024

# Sources whose files of images may stay while the labels change.
_SOURCES_WITH_LABEL_FILES = ("idx", "npz")

# Folder that keeps the Inception graph once it has been downloaded.
_CACHE = os.path.join("~", ".cache", "tf_mdsm")


def build_features(
    config: ConfigDict, folder: RunFolder, training: np.ndarray, validation: np.ndarray
) -> FeatureExtractor:
    """The features that `config.evaluation.features` names: a classifier's, or Inception's.

    The classifier is trained on the run's labelled training images once, and kept in the run's
    folder.

    Raises:
        InvalidArgument: for data without labels, or if Inception's file is missing or is another
            file.
    """
    settings, data = config.evaluation, config.data
    if settings.features == "inception":
        with errors_about("config.evaluation.inception_path"):
            path = os.path.expanduser(settings.inception_path)
            return load_inception(path or download_inception(os.path.expanduser(_CACHE)))
    labels, validation_labels = _build_labels(config)
    dataset = data.name or os.path.basename(data.path.rstrip(os.sep)) or data.source
    classifier = train_classifier(training, labels, folder.classifier, kind=settings.features)
    features = classifier_features(classifier, dataset, settings.features)
    share = accuracy(features, validation, validation_labels)
    _LOGGER.info("%s: %.1f %% of the validation images right", features.name, 100 * share)
    return features


def label_key(config: ConfigDict) -> str:
    """A hash of the labels that `config.evaluation.features` are learned from.

    Returns:
        "" for features without labels, and where the hash of the images says which labels they are.

    Raises:
        InvalidArgument: for data without labels.
    """
    is_learned = config.evaluation.features in CLASSIFIERS
    if not is_learned or config.data.source not in _SOURCES_WITH_LABEL_FILES:
        return ""
    return fingerprint(*_build_labels(config))


def _build_labels(config: ConfigDict) -> tuple[np.ndarray, np.ndarray]:
    """The labels of the run's training images, and of its validation images."""
    data, features = config.data, config.evaluation.features
    if data.patches:
        needs = "be inception or none, as there are no labels of patches"
        raise InvalidArgument("config.evaluation.features", needs, features)
    # The labels do not depend on how images are resized and stored.
    without = ("image_size", "channels", "crop", "flip", "turn", "cache", "skip_damaged")
    without += ("patches", "allow_other_images")
    fields = {name: value for name, value in data.items() if name not in without}
    for name in ("path", "data_dir"):
        fields[name] = os.path.expanduser(fields[name])
    try:
        return load_labels(**fields)
    except InvalidArgument as error:
        needs = f"be inception or none, as there are no labels to learn ({error})"
        raise InvalidArgument("config.evaluation.features", needs, features) from error


def build_reference_images(
    config: ConfigDict, training: np.ndarray, validation: np.ndarray
) -> tuple[np.ndarray, str]:
    """The images that samples are compared with, and a name for them."""
    is_training, data = config.evaluation.reference == "train", config.data
    images = training if is_training else validation
    split = "training images" if is_training else "held-out images"
    if data.source in ("tfds", "idx"):
        split = data.split if is_training else data.held_out_split
    kind = "patches" if data.patches else "images"
    return images, f"{split}, {len(images)} {kind}"


def build_reference(
    config: ConfigDict, folder: RunFolder, features: FeatureExtractor, images: np.ndarray
) -> FeatureStatistics:
    """Mean and covariance of the reference images' features, computed once for a set of images.

    They are kept in the run's folder in the format that other tools use, or read from a file of
    another tool, `config.evaluation.reference_statistics`.

    Raises:
        InvalidArgument: for a file of other features, or too few images.
    """
    settings = config.evaluation
    if settings.reference_statistics:
        path = os.path.expanduser(settings.reference_statistics)
        with errors_about("config.evaluation.reference_statistics"):
            return load_feature_statistics(path, features.size, features.fingerprint)
    content = hashlib.sha256(np.ascontiguousarray(images).data)
    name = f"{settings.features}_{settings.reference}"
    key = f"{features.fingerprint[:8]}_{content.hexdigest()[:8]}"
    path = folder.feature_statistics(name, key)
    if os.path.exists(path):
        # A damaged file is computed again.
        with contextlib.suppress(InvalidArgument):
            return load_feature_statistics(path, features.size, features.fingerprint)
    if len(images) < features.size:
        at_least = f"name a split with as many images as features ({features.size})"
        raise InvalidArgument("config.evaluation.reference", at_least, len(images))
    batches = (images[first : first + _BATCH] for first in range(0, len(images), _BATCH))
    statistics = fit_feature_statistics(features.extract(batch)[0] for batch in batches)
    statistics = dataclasses.replace(statistics, features=features.fingerprint)
    save_feature_statistics(statistics, path)
    return statistics


def build_sample_distance(
    config: ConfigDict, folder: RunFolder, training: np.ndarray, validation: np.ndarray
) -> SampleDistance:
    """The Fréchet distance by which a training run compares a few samples with the reference.

    Raises:
        InvalidArgument: as `build_features`, or for fewer samples than features.
    """
    features = build_features(config, folder, training, validation)
    count = config.training.evaluation_samples
    require_enough(features, count, "config.training.evaluation_samples")
    images, name = build_reference_images(config, training, validation)
    reference = build_reference(config, folder, features, images)

    def distance(samples: np.ndarray) -> float:
        return frechet_distance(fit_feature_statistics([features.extract(samples)[0]]), reference)

    source = name
    if config.evaluation.reference_statistics:
        source = content_of_path(os.path.expanduser(config.evaluation.reference_statistics))
    sampling = json.dumps(config.sampling.to_dict(), sort_keys=True)
    return SampleDistance(
        num_samples=count,
        compute=distance,
        features=features.name,
        definition=f"{features.name} {features.fingerprint}, n {count}, {source}, {sampling}",
    )


def require_enough(features: FeatureExtractor, count: int, field: str) -> None:
    """Refuses fewer samples than features, because their covariance would have no full rank.

    Raises:
        InvalidArgument: about `field`.
    """
    if count < features.size:
        raise InvalidArgument(field, f"be at least the number of features ({features.size})", count)


def build_out_of_distribution(config: ConfigDict, validation: np.ndarray) -> dict[str, np.ndarray]:
    """Images that are not of the run's kind, as many as `validation` holds or the source has.

    Returns:
        name to images [N, H, W, C]: uniform noise, constant images, upside-down and
        patch-shuffled validation images, and those of `config.evaluation.foreign`.

    Raises:
        InvalidArgument: if the images of `config.evaluation.foreign` cannot be read.
    """
    settings, seed = config.evaluation, config.evaluation.seed
    images = {
        "uniform noise": uniform_noise(validation, seed),
        "constant": constant_images(validation, seed),
        "upside-down": upside_down(validation),
    }
    patch = validation.shape[1] // 4
    if patch and validation.shape[1] == 4 * patch:
        images["shuffled patches"] = shuffled_patches(validation, patch, seed)
    if settings.foreign.source:
        name = settings.foreign.name or settings.foreign.source
        images[name] = _other_dataset(config)[: len(validation)]
    return images


def _other_dataset(config: ConfigDict) -> np.ndarray:
    """The validation images of `config.evaluation.foreign`, resized to the run's size."""
    settings, size = config.evaluation.foreign, config.data.image_size
    try:
        _, images = load_images(
            settings.source,
            name=settings.name,
            path=os.path.expanduser(settings.path),
            data_dir=os.path.expanduser(config.data.data_dir),
            image_size=settings.image_size or size,
            channels=config.data.channels,
        )
    except InvalidArgument as error:
        if error.field in settings:
            raise error.within("config.evaluation.foreign") from error
        fit = f"name images that fit this run ({error})"
        raise InvalidArgument("config.evaluation.foreign.source", fit, settings.source) from error
    if images.shape[1] == size:
        return images
    resized = tf.image.resize(to_float(tf.constant(images)), (size, size))
    return np.clip(resized.numpy(), 0, 1)
