"""The labels of a source's images, in the order in which `loading` has the images."""

from collections.abc import Callable

import numpy as np

from tf_mdsm.datasets import readers
from tf_mdsm.datasets.loading import read_both_splits, split_off
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.npz import read_npz_arrays

__all__ = ["load_labels"]


def load_labels(
    source: str,
    *,
    name: str = "",
    path: str = "",
    data_dir: str = "",
    split: str = "train",
    held_out_split: str = "test",
    held_out_fraction: float = 0.1,
) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the training images and of the held-out ones; arguments as of `load_images`.

    Labels are: of `tfds` the feature `label`, of `idx` the files of labels beside those of
    images, of `npz` the array `labels`, of `digits` scikit-learn's.

    Returns:
        two arrays int64 [N].

    Raises:
        InvalidArgument: for a source or a data set without labels, and for anything that keeps
            them from being read.
    """
    splits: dict[str, Callable[[str], np.ndarray]] = {
        "tfds": lambda which: _tfds_labels(name, which, data_dir),
        "idx": lambda which: readers.read_idx(path, which, "labels"),
    }
    wholes: dict[str, Callable[[], np.ndarray]] = {
        "digits": _digit_labels,
        "npz": lambda: _npz_labels(path),
    }
    if source in splits:
        both = read_both_splits(splits[source], split, held_out_split)
    elif source in wholes:
        both = split_off(wholes[source](), held_out_fraction)
    else:
        labelled = ", ".join([*splits, *wholes])
        raise InvalidArgument("source", f"be one whose images have labels ({labelled})", source)
    return both[0].astype(np.int64), both[1].astype(np.int64)


def _digit_labels() -> np.ndarray:
    from sklearn.datasets import load_digits

    return load_digits().target


def _npz_labels(path: str) -> np.ndarray:
    labels = read_npz_arrays(path, ["labels"])["labels"]
    if labels.dtype.kind not in "iu":
        raise InvalidArgument("path", "hold `labels` that are integers", labels.dtype)
    # Labels of other images would be split off in another order, and nobody would see it.
    shape = (len(readers.read_npz(path)),)
    if labels.shape != shape:
        raise InvalidArgument("path", f"hold a label for each image, {shape}", labels.shape)
    return labels


def _tfds_labels(name: str, split: str, data_dir: str) -> np.ndarray:
    labels = readers.read_tfds(name, split, data_dir, "label")
    if labels.element_spec.shape.rank != 0 or not labels.element_spec.dtype.is_integer:
        raise InvalidArgument("name", "be a data set with one class an image as `label`", name)
    batches = list(labels.batch(1024).as_numpy_iterator())
    return np.concatenate(batches) if batches else np.zeros(0, np.int64)
