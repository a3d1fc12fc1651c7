"""Classifiers, trained on the run's labeled images, as feature extractors.

Distances in their features show which of two sets of samples is nearer to the training images. They
are not FID, and must be compared only with distances in features of the same classifier.
"""

import dataclasses
import hashlib
import os
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tf_mdsm.datasets.pixels import to_float_array
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.classifier_networks import deep_network, small_network
from tf_mdsm.evaluation.features import FeatureExtractor, extract_in_batches, fingerprint
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.locks import job_lock

__all__ = ["CLASSIFIERS", "accuracy", "classifier_features", "shifted", "train_classifier"]


@dataclasses.dataclass(frozen=True)
class _Classifier:
    """A kind of classifier and its training.

    Attributes:
        network: shape of the images and number of classes to a new network, of which the layer
            `features` computes the features.
        steps: training steps of Adam, with 128 images each.
        shift: training images are moved by at most so many pixels along each axis.
    """

    network: Callable[[tuple[int, ...], int], keras.Model]
    steps: int
    shift: int


# By the name of the features in `config.evaluation.features`. Of Fashion-MNIST's 10,000 test
# images the small one has 90.4 % right and the deep one 92.0 %.
CLASSIFIERS = {
    "classifier": _Classifier(network=small_network, steps=1_500, shift=0),
    "deep_classifier": _Classifier(network=deep_network, steps=2_000, shift=2),
}

# Images in a batch of feature extraction, and of a training step.
_BATCH, _TRAINING_BATCH = 256, 128


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    path: str,
    steps: int | None = None,
    kind: str = "classifier",
) -> keras.Model:
    """Trains a convolutional classifier, or loads it from its file.

    On one machine the same images and labels give the same classifier. Its last layer
    computes the classes from the output of the layer `features`.

    Args:
        images: uint8, or float in [0, 1], [N, H, W, C].
        labels: labels of the images, integers from 0, [N].
        path: where the classifier is kept. A hash of images, labels and training is inserted before
            the file's ending, so that it is not loaded for other data.
        steps: training steps of Adam, with 128 images each; None: those of its kind.
        kind: a name of `CLASSIFIERS`: "classifier", a small one that takes half a minute on two
            cores, or "deep_classifier", one that takes minutes.

    Returns:
        a model from images, float32 [B, H, W, C] in [0, 1], to logits.

    Raises:
        InvalidArgument: for labels that are not one integer for each image.
        RunError: if the file cannot be read.
    """
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        received = f"{labels.dtype} {labels.shape}"
        raise InvalidArgument("labels", f"be integers from 0, ({len(images)},)", received)
    classifier = CLASSIFIERS[kind]
    if steps is not None:
        classifier = dataclasses.replace(classifier, steps=steps)
    stem, ending = os.path.splitext(path)
    path = f"{stem}_{_data_hash(images, labels, classifier)}{ending}"
    # A training run and an evaluation of it may want the classifier at the same time.
    with job_lock(f"{path}.lock", "be waited for", waits=True):
        if os.path.exists(path):
            return _load(path)
        return _train(images, labels, path, classifier)


def _train(
    images: np.ndarray, labels: np.ndarray, path: str, classifier: _Classifier
) -> keras.Model:
    """Trains a new classifier, and keeps it."""
    model = classifier.network(images.shape[1:], int(labels.max()) + 1)
    learning_rate: Any = keras.optimizers.schedules.CosineDecay(2e-3, classifier.steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Without XLA, because on a CPU its compilation takes longer than the steps.
    without_xla: Any = False
    model.compile(keras.optimizers.Adam(learning_rate), loss, jit_compile=without_xla)
    generator = np.random.default_rng(0)
    shape = (classifier.steps, _TRAINING_BATCH)
    for batch in generator.integers(len(images), size=shape):
        pixels = shifted(to_float_array(images[batch]), classifier.shift, generator)
        model.train_on_batch(pixels, labels[batch])
    with atomic_write(path) as partial:
        model.save(partial)
    return model


def shifted(images: np.ndarray, shift: int, generator: np.random.Generator) -> np.ndarray:
    """Images moved by random numbers of pixels, with copies of the edge where pixels are missing.

    Args:
        images: [B, H, W, C].
        shift: largest number of pixels along each axis; each number from -shift to shift is equally
            likely. 0 draws no numbers.
        generator: of the numbers.
    """
    if not shift:
        return images
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), "edge")
    top, left = generator.integers(2 * shift + 1, size=(2, len(images)))
    rows, columns = top[:, None] + np.arange(height), left[:, None] + np.arange(width)
    return padded[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _data_hash(images: np.ndarray, labels: np.ndarray, classifier: _Classifier) -> str:
    kind = f"{classifier.network.__name__} {classifier.steps} {classifier.shift}"
    content = hashlib.sha256(f"{images.dtype} {images.shape} {kind}".encode())
    content.update(np.ascontiguousarray(images).data)
    content.update(np.ascontiguousarray(labels, np.int64).data)
    return content.hexdigest()[:12]


def _load(path: str) -> Any:
    try:
        return keras.models.load_model(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} cannot be read ({error}); delete it, and the classifier is trained again"
        ) from error


def classifier_features(
    classifier: keras.Model, dataset_name: str, kind: str = "classifier"
) -> FeatureExtractor:
    """A classifier by `train_classifier` as a feature extractor.

    Args:
        classifier: the trained classifier.
        dataset_name: name of its training data, for the extractor's name.
        kind: its name in `CLASSIFIERS`, for the extractor's name.
    """
    layer = classifier.get_layer("features")
    network = keras.Model(classifier.inputs[0], [layer.output, *classifier.outputs])
    shape = tuple(classifier.input_shape[1:])

    def extract_batch(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, logits = network(to_float_array(images), training=False)
        return features.numpy(), logits.numpy()

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if images.shape[1:] != shape:
            raise InvalidArgument("images", f"be of shape {shape} each", images.shape)
        return extract_in_batches(extract_batch, images, _BATCH)

    return FeatureExtractor(
        name=f"{kind}({dataset_name})",
        fingerprint=fingerprint(weights.tobytes() for weights in classifier.get_weights()),
        size=layer.output.shape[-1],
        extract=extract,
    )


def accuracy(extractor: FeatureExtractor, images: np.ndarray, labels: np.ndarray) -> float:
    """The fraction of images whose largest logit is that of their label.

    Args:
        extractor: a classifier by `classifier_features`.
        images: uint8, or float in [0, 1], [N, H, W, C].
        labels: labels of the images, integers from 0, [N].
    """
    _, logits = extractor.extract(images)
    return float(np.mean(logits.argmax(axis=1) == labels))
