"""From `config.evaluation` to features, reference statistics and foreign images."""

import contextlib
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
from tf_mdsm.errors import InvalidArgument, known_as
from tf_mdsm.evaluation import out_of_distribution
from tf_mdsm.evaluation.classifier import accuracy, classifier_features, train_classifier
from tf_mdsm.evaluation.feature_statistics import (
    FeatureStatistics,
    fit_feature_statistics,
    load_feature_statistics,
    save_feature_statistics,
)
from tf_mdsm.evaluation.features import FeatureExtractor
from tf_mdsm.evaluation.inception import download_inception, load_inception
from tf_mdsm.evaluation.sample_quality import frechet_distance
from tf_mdsm.training.monitor import SampleDistance

__all__ = [
    "build_features",
    "build_out_of_distribution",
    "build_reference",
    "build_reference_images",
    "build_sample_distance",
    "require_enough",
]

_LOGGER = logging.getLogger(__name__)

_BATCH = 1_024

# Where the Inception graph is kept once it has been downloaded.
_CACHE = os.path.join("~", ".cache", "tf_mdsm")


def build_features(
    config: ConfigDict, workdir: str, training: np.ndarray, held_out: np.ndarray
) -> FeatureExtractor:
    """The features that `config.evaluation.features` names.

    The classifier is trained on the run's labelled training images, once, and kept under
    `workdir/evaluation`.

    Raises:
        InvalidArgument: for data without labels, or an Inception file that is missing or another.
    """
    settings, data = config.evaluation, config.data
    if settings.features == "inception":
        with known_as("config.evaluation.inception_path"):
            path = os.path.expanduser(settings.inception_path)
            return load_inception(path or download_inception(os.path.expanduser(_CACHE)))
    # Images are of one size, whatever was cut, and kept somewhere; labels know nothing of it.
    without = ("image_size", "channels", "crop", "flip", "cache", "skip_damaged")
    fields = {name: value for name, value in data.items() if name not in without}
    for name in ("path", "data_dir"):
        fields[name] = os.path.expanduser(fields[name])
    try:
        labels, held_out_labels = load_labels(**fields)
    except InvalidArgument as error:
        needs = f"be inception or none, as there are no labels to learn ({error})"
        raise InvalidArgument("config.evaluation.features", needs, settings.features) from error
    path = os.path.join(workdir, "evaluation", "classifier.keras")
    dataset = data.name or os.path.basename(data.path.rstrip(os.sep)) or data.source
    features = classifier_features(train_classifier(training, labels, path), dataset)
    right = accuracy(features, held_out, held_out_labels)
    _LOGGER.info("%s: %.1f %% of the held-out images right", features.name, 100 * right)
    return features


def build_reference_images(
    config: ConfigDict, training: np.ndarray, held_out: np.ndarray
) -> tuple[np.ndarray, str]:
    """The images that samples are compared with, and which they are."""
    is_training, data = config.evaluation.reference == "train", config.data
    images = training if is_training else held_out
    split = "training images" if is_training else "held-out images"
    if data.source in ("tfds", "idx"):
        split = data.split if is_training else data.held_out_split
    return images, f"{split}, {len(images)} images"


def build_reference(
    config: ConfigDict, workdir: str, features: FeatureExtractor, images: np.ndarray
) -> FeatureStatistics:
    """Mean and covariance of the reference images' features, computed once for a set of images.

    They are kept under `workdir/evaluation` as other tools use them, or read from the file of
    such a tool, `config.evaluation.reference_statistics`.

    Raises:
        InvalidArgument: for a file of other features, or too few images.
    """
    settings = config.evaluation
    if settings.reference_statistics:
        path = os.path.expanduser(settings.reference_statistics)
        with known_as("config.evaluation.reference_statistics"):
            return load_feature_statistics(path, features.size)
    content = hashlib.sha256(np.ascontiguousarray(images))
    name = f"{settings.features}_{settings.reference}"
    key = f"{features.fingerprint[:8]}_{content.hexdigest()[:8]}"
    path = os.path.join(workdir, "evaluation", f"statistics_{name}_{key}.npz")
    if os.path.exists(path):
        # A damaged file of our own is made again.
        with contextlib.suppress(InvalidArgument):
            return load_feature_statistics(path, features.size)
    if len(images) < features.size:
        at_least = f"name a split with as many images as features ({features.size})"
        raise InvalidArgument("config.evaluation.reference", at_least, len(images))
    batches = (images[first : first + _BATCH] for first in range(0, len(images), _BATCH))
    statistics = fit_feature_statistics(features.extract(batch)[0] for batch in batches)
    save_feature_statistics(statistics, path)
    return statistics


def build_sample_distance(
    config: ConfigDict, workdir: str, training: np.ndarray, held_out: np.ndarray
) -> SampleDistance:
    """How a training run compares a few samples with its reference images.

    Raises:
        InvalidArgument: as `build_features`, or for fewer samples than features.
    """
    features = build_features(config, workdir, training, held_out)
    count = config.training.evaluation_samples
    require_enough(features, count, "config.training.evaluation_samples")
    images, name = build_reference_images(config, training, held_out)
    reference = build_reference(config, workdir, features, images)

    def distance(drawn: np.ndarray) -> float:
        return frechet_distance(fit_feature_statistics([features.extract(drawn)[0]]), reference)

    source = config.evaluation.reference_statistics or name
    sampling = json.dumps(config.sampling.to_dict(), sort_keys=True)
    measure = f"{features.name} {features.fingerprint}, n {count}, {source}, {sampling}"
    return SampleDistance(count, distance, features.name, measure)


def require_enough(features: FeatureExtractor, count: int, field: str) -> None:
    """Refuses fewer samples than features, whose covariance says little.

    Raises:
        InvalidArgument: about `field`.
    """
    if count < features.size:
        raise InvalidArgument(field, f"be at least the number of features ({features.size})", count)


def build_out_of_distribution(config: ConfigDict, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Images that are none of the run's kind, as many as `held_out` holds or the source has."""
    settings, seed = config.evaluation, config.evaluation.seed
    foreign = {
        "uniform noise": out_of_distribution.uniform_noise(held_out, seed),
        "constant": out_of_distribution.constant_images(held_out, seed),
        "upside-down": out_of_distribution.upside_down(held_out),
    }
    patch = held_out.shape[1] // 4
    if patch and held_out.shape[1] == 4 * patch:
        foreign["shuffled patches"] = out_of_distribution.shuffled_patches(held_out, patch, seed)
    if settings.foreign.source:
        images = _other_data(config)[: len(held_out)]
        foreign[settings.foreign.name or settings.foreign.source] = images
    return foreign


def _other_data(config: ConfigDict) -> np.ndarray:
    """The held-out images of another data set, at the run's size."""
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
