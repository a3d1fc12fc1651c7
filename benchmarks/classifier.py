"""Features of images for comparing sets of them: a small classifier, trained here.

For the benchmarks: the distances are of its features and no other's, and say so by its name.
"""

import gzip
import os

import keras
import numpy as np
from scipy import linalg

from tf_mdsm.datasets.loading import load_images
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.files import written_whole

__all__ = ["FEATURES", "features", "frechet_distance", "load_labels", "train_classifier"]

# Features of an image.
FEATURES = 64

_FILES = {"train": "train-labels-idx1-ubyte", "test": "t10k-labels-idx1-ubyte"}
_HEADER = 8


def load_labels(source: str, path: str, held_out_fraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the training images and of the held-out ones, in `load_images`' order, int64.

    Args:
        source: `idx` (MNIST-style files) or `digits`.
        path: the folder of `idx`.
        held_out_fraction: as `load_images` has it.

    Raises:
        InvalidArgument: for a source without labels, or files that are none.
    """
    if source == "idx":
        return tuple(_read_idx_labels(path, name) for name in _FILES.values())
    if source != "digits":
        raise InvalidArgument("--workdir", "be a run on data with labels: idx or digits", source)
    from sklearn.datasets import load_digits

    # The same images as `load_images` has them, found by their pixels.
    digits = load_digits()
    label_of = {
        image.tobytes(): label
        for image, label in zip(_digit_pixels(digits.images), digits.target, strict=True)
    }
    settings = {"held_out_fraction": held_out_fraction, "image_size": 8, "channels": 1}
    sets = load_images(source="digits", **_IGNORED, **settings)
    return tuple(np.array([label_of[_key(image)] for image in images]) for images in sets)


_IGNORED = {
    "name": "",
    "path": "",
    "data_dir": "",
    "split": "train",
    "held_out_split": "test",
    "crop": 0,
}


def _digit_pixels(images: np.ndarray) -> np.ndarray:
    return np.round(images).astype(np.uint8)


def _key(image: np.ndarray) -> bytes:
    scale = 255 if image.dtype == np.uint8 else 1
    return _digit_pixels(image[..., 0].astype(float) * 16 / scale).tobytes()


def _read_idx_labels(folder: str, name: str) -> np.ndarray:
    for path, read in ((f"{name}.gz", gzip.open), (name, open)):
        path = os.path.join(os.path.expanduser(folder), path)
        if os.path.exists(path):
            with read(path, "rb") as file:
                content = file.read()
            count = int.from_bytes(content[4:_HEADER], "big")
            if content[:4] == b"\0\0\x08\x01" and len(content) == _HEADER + count:
                return np.frombuffer(content, np.uint8, offset=_HEADER).astype(np.int64)
            raise InvalidArgument("config.data.path", "hold IDX files of labels", path)
    raise InvalidArgument("config.data.path", f"hold {name}", folder)


def train_classifier(
    images: np.ndarray, labels: np.ndarray, path: str, steps: int = 1_500
) -> keras.Model:
    """A small convolutional classifier, [B, H, W, C] in [0, 1] to logits; kept at `path`.

    Its last layer but one, called `features`, has `FEATURES` units. The same images and labels
    make the same classifier on one machine.
    """
    if os.path.exists(path):
        return keras.models.load_model(path)
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(FEATURES, activation="relu", name="features"),
            layers.Dense(int(labels.max()) + 1),
        ]
    )
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss)
    places = np.random.default_rng(0).integers(len(images), size=(steps, 128))
    for batch in places:
        model.train_on_batch(_floats(images[batch]), labels[batch])
    with written_whole(path) as partial:
        model.save(partial)
    return model


def features(classifier: keras.Model, images: np.ndarray) -> np.ndarray:
    """Of images, uint8 or in [0, 1], [N, H, W, C]: float64 [N, FEATURES]."""
    body = keras.Model(classifier.inputs, classifier.get_layer("features").output)
    return body.predict(_floats(images), batch_size=256, verbose=0).astype(np.float64)


def accuracy(classifier: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    logits = classifier.predict(_floats(images), batch_size=256, verbose=0)
    return float(np.mean(logits.argmax(1) == labels))


def _floats(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / (255 if images.dtype == np.uint8 else 1)


def frechet_distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Between the Gaussians of two sets of features, [N, d] each:

        |m1 - m2|^2 + tr(C1 + C2 - 2 (C1^(1/2) C2 C1^(1/2))^(1/2))

    Source: Dowson and Landau, "The Fréchet distance between multivariate normal
    distributions" (1982).

    Raises:
        InvalidArgument: for fewer images than features, whose covariance says little.
    """
    for name, values in (("ours", ours), ("theirs", theirs)):
        if len(values) < values.shape[1]:
            at_least = f"have at least as many images as features ({values.shape[1]})"
            raise InvalidArgument(name, at_least, len(values))
    (mean_1, cov_1), (mean_2, cov_2) = ((f.mean(0), np.cov(f.T)) for f in (ours, theirs))
    variances, directions = linalg.eigh(cov_1)
    root = directions * np.sqrt(np.maximum(variances, 0)) @ directions.T
    cross = np.sqrt(np.maximum(linalg.eigvalsh(root @ cov_2 @ root), 0)).sum()
    return float(np.sum((mean_1 - mean_2) ** 2) + np.trace(cov_1) + np.trace(cov_2) - 2 * cross)
