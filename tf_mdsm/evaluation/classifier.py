"""A small classifier, trained on the run's labeled images, as a feature extractor.

Distances in its features show which of two sets of samples is nearer to its training images. They
are not FID, and must be compared only with each other.
"""

import hashlib
import os
from typing import Any

import keras
import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.features import FeatureExtractor, extract_in_batches, fingerprint
from tf_mdsm.system.atomic import atomic_write
from tf_mdsm.system.locks import job_lock

__all__ = ["NUM_FEATURES", "accuracy", "classifier_features", "train_classifier"]

# Number of features of an image.
NUM_FEATURES = 64

# Larger images are shrunk to at most this height and width before the first convolution, so that
# training takes minutes for images of any size.
_MAX_SIDE = 32

# Images in a batch of feature extraction, and of a training step.
_BATCH, _TRAINING_BATCH = 256, 128


def train_classifier(
    images: np.ndarray, labels: np.ndarray, path: str, steps: int = 1_500
) -> keras.Model:
    """Trains a small convolutional classifier, or loads it from its file.

    On one machine the same images and labels give the same classifier. Its second last layer,
    called `features`, has `NUM_FEATURES` units.

    Args:
        images: uint8, or float in [0, 1], [N, H, W, C].
        labels: labels of the images, integers from 0, [N].
        path: where the classifier is kept. A hash of images, labels and steps is inserted before
            the file's ending, so that it is not loaded for other data.
        steps: training steps of Adam, with 128 images each.

    Returns:
        a model from images, float32 [B, H, W, C] in [0, 1], to logits.

    Raises:
        InvalidArgument: for labels that are not one integer for each image.
        RunError: if the file cannot be read.
    """
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        received = f"{labels.dtype} {labels.shape}"
        raise InvalidArgument("labels", f"be integers from 0, ({len(images)},)", received)
    stem, ending = os.path.splitext(path)
    path = f"{stem}_{_data_hash(images, labels, steps)}{ending}"
    # A training run and an evaluation of it may want the classifier at the same time.
    with job_lock(f"{path}.lock", "be waited for", waits=True):
        return _load(path) if os.path.exists(path) else _train(images, labels, path, steps)


def _train(images: np.ndarray, labels: np.ndarray, path: str, steps: int) -> keras.Model:
    """Trains a new classifier, and keeps it."""
    model = _new_classifier(images.shape[1:], int(labels.max()) + 1)
    learning_rate: Any = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Without XLA, because on a CPU its compilation takes longer than the steps.
    without_xla: Any = False
    model.compile(keras.optimizers.Adam(learning_rate), loss, jit_compile=without_xla)
    for batch in np.random.default_rng(0).integers(len(images), size=(steps, _TRAINING_BATCH)):
        model.train_on_batch(_floats(images[batch]), labels[batch])
    with atomic_write(path) as partial:
        model.save(partial)
    return model


def _data_hash(images: np.ndarray, labels: np.ndarray, steps: int) -> str:
    content = hashlib.sha256(f"{images.dtype} {images.shape} {steps}".encode())
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


def _new_classifier(shape: tuple[int, ...], classes: int) -> keras.Model:
    """A classifier that uses neither the program's random generators nor Keras' global settings."""

    def weights(seed: int) -> Any:
        return keras.initializers.GlorotUniform(seed)

    def convolution(filters: int, strides: int, seed: int) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            filters,
            3,
            strides,
            padding="same",
            data_format="channels_last",
            activation="relu",
            kernel_initializer=weights(seed),
            dtype="float32",
        )

    shrinking = -(-max(shape[:2]) // _MAX_SIDE)
    return keras.Sequential(
        [
            keras.Input(shape, dtype="float32"),
            *([_means(shrinking)] if shrinking > 1 else []),
            convolution(16, 1, seed=0),
            convolution(32, 2, seed=1),
            convolution(64, 2, seed=2),
            keras.layers.Flatten("channels_last", dtype="float32"),
            keras.layers.Dense(
                NUM_FEATURES,
                activation="relu",
                name="features",
                kernel_initializer=weights(3),
                dtype="float32",
            ),
            keras.layers.Dense(classes, kernel_initializer=weights(4), dtype="float32"),
        ]
    )


def _means(side: int) -> keras.layers.Layer:
    """Means over blocks of side x side pixels; blocks at the edges may be smaller."""
    return keras.layers.AveragePooling2D(
        side, padding="same", data_format="channels_last", dtype="float32"
    )


def classifier_features(classifier: keras.Model, dataset_name: str) -> FeatureExtractor:
    """A classifier by `train_classifier` as a feature extractor.

    Args:
        classifier: the trained classifier.
        dataset_name: name of its training data, for the extractor's name.
    """
    layer = classifier.get_layer("features")
    network = keras.Model(classifier.inputs[0], [layer.output, *classifier.outputs])
    shape = tuple(classifier.input_shape[1:])

    def extract_batch(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, logits = network(_floats(images), training=False)
        return features.numpy(), logits.numpy()

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if images.shape[1:] != shape:
            raise InvalidArgument("images", f"be of shape {shape} each", images.shape)
        return extract_in_batches(extract_batch, images, _BATCH)

    return FeatureExtractor(
        name=f"classifier({dataset_name})",
        fingerprint=fingerprint(weights.tobytes() for weights in classifier.get_weights()),
        size=layer.units,
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


def _floats(images: np.ndarray) -> np.ndarray:
    """Images, uint8 or float in [0, 1], as float32 in [0, 1]."""
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)
