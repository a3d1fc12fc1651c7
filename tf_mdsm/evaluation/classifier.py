"""A small classifier that is trained here, for features where there is no network to ask.

Distances by its features say which of two sets of samples is nearer to the data it was trained
on; they are no FID, and are compared with each other only.
"""

import hashlib
import os

import keras
import numpy as np

from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.features import Features, extract_in_batches, fingerprint
from tf_mdsm.system.atomic import atomic_write

__all__ = ["FEATURES", "accuracy", "classifier_features", "train_classifier"]

# Features of an image.
FEATURES = 64

_BATCH = 256


def train_classifier(
    images: np.ndarray, labels: np.ndarray, path: str, steps: int = 1_500
) -> keras.Model:
    """A small convolutional classifier, [B, H, W, C] in [0, 1] to logits, trained once.

    The same images and labels make the same classifier on one machine. Its last layer but one,
    called `features`, has `FEATURES` units.

    Args:
        images: uint8, or float in [0, 1], [N, H, W, C].
        labels: of the images, integers from 0, [N].
        path: where it is kept. Before its ending a file's name gets a hash of images, labels
            and steps, so that other data never find this classifier.
        steps: of Adam, 128 images each.

    Raises:
        InvalidArgument: for labels that are not one an image.
        RunError: if what was kept cannot be read.
    """
    if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or labels.min() < 0:
        received = f"{labels.dtype} {labels.shape}"
        raise InvalidArgument("labels", f"be integers from 0, ({len(images)},)", received)
    stem, ending = os.path.splitext(path)
    path = f"{stem}_{_data_hash(images, labels, steps)}{ending}"
    if os.path.exists(path):
        return _load(path)
    model = _new_classifier(images.shape[1:], int(labels.max()) + 1)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Without XLA: on a CPU, compiling takes longer than the steps.
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    for batch in np.random.default_rng(0).integers(len(images), size=(steps, 128)):
        model.train_on_batch(_floats(images[batch]), labels[batch])
    with atomic_write(path) as partial:
        model.save(partial)
    return model


def _data_hash(images: np.ndarray, labels: np.ndarray, steps: int) -> str:
    content = hashlib.sha256(f"{images.dtype} {images.shape} {steps}".encode())
    content.update(np.ascontiguousarray(images))
    content.update(np.ascontiguousarray(labels, np.int64))
    return content.hexdigest()[:12]


def _load(path: str) -> keras.Model:
    try:
        return keras.models.load_model(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read ({error}); without it, it is made again") from error


def _new_classifier(shape: tuple[int, ...], classes: int) -> keras.Model:
    """Initial weights from seeds of their own: the program's random numbers stay as they are."""

    def weights(seed: int) -> keras.initializers.Initializer:
        return keras.initializers.GlorotUniform(seed)

    def convolution(filters: int, strides: int, seed: int) -> keras.layers.Layer:
        return keras.layers.Conv2D(
            filters,
            3,
            strides,
            padding="same",
            activation="relu",
            kernel_initializer=weights(seed),
        )

    return keras.Sequential(
        [
            keras.Input(shape),
            convolution(16, 1, seed=0),
            convolution(32, 2, seed=1),
            convolution(64, 2, seed=2),
            keras.layers.Flatten(),
            keras.layers.Dense(
                FEATURES, activation="relu", name="features", kernel_initializer=weights(3)
            ),
            keras.layers.Dense(classes, kernel_initializer=weights(4)),
        ]
    )


def classifier_features(classifier: keras.Model, dataset_name: str) -> Features:
    """What a classifier by `train_classifier` says of images; named after its training data."""
    layer = classifier.get_layer("features")
    network = keras.Model(classifier.inputs[0], [layer.output, *classifier.outputs])
    shape = tuple(classifier.input_shape[1:])

    def of_batch(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features, logits = network(_floats(images), training=False)
        return features.numpy(), logits.numpy()

    def extract(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if images.shape[1:] != shape:
            raise InvalidArgument("images", f"be of shape {shape} each", images.shape)
        return extract_in_batches(of_batch, images, _BATCH)

    return Features(
        name=f"classifier({dataset_name})",
        fingerprint=fingerprint(weights.tobytes() for weights in classifier.get_weights()),
        size=layer.units,
        extract=extract,
    )


def accuracy(features: Features, images: np.ndarray, labels: np.ndarray) -> float:
    """The share of images whose largest logit is that of their label."""
    _, logits = features.extract(images)
    return float(np.mean(logits.argmax(axis=1) == labels))


def _floats(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)
