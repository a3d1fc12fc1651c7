"""Class labels of a data set, in the same order and the same split as its images."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tf_mdsm.datasets import readers
from tf_mdsm.datasets.loading import read_both_splits, split_off_validation
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
    """Labels of the training images and of the validation images.

    Args:
        source: where the labels come from. `tfds`: the feature `label`. `idx`: the files of
            labels next to the files of images. `npz`: the array `labels`. `digits`: labels of
            scikit-learn's digits.
        name, path, data_dir, split, held_out_split, held_out_fraction: as of `load_images`.

    Returns:
        two arrays int64 [N].

    Raises:
        InvalidArgument: for a source or a data set without labels, and for every reason why the
            labels cannot be read.
    """
    readers_of_split: dict[str, Callable[[str], np.ndarray]] = {
        "tfds": lambda split: _tfds_labels(name, split, data_dir),
        "idx": lambda split: readers.read_idx(path, split, "labels"),
    }
    readers_of_all: dict[str, Callable[[], np.ndarray]] = {
        "digits": _digit_labels,
        "npz": lambda: _npz_labels(path),
    }
    if source in readers_of_split:
        labels = read_both_splits(readers_of_split[source], split, held_out_split)
    elif source in readers_of_all:
        labels = split_off_validation(readers_of_all[source](), held_out_fraction)
    else:
        labeled = ", ".join([*readers_of_split, *readers_of_all])
        raise InvalidArgument("source", f"be one whose images have labels ({labeled})", source)
    return labels[0].astype(np.int64), labels[1].astype(np.int64)


def _digit_labels() -> np.ndarray:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return digits.target


def _npz_labels(path: str) -> np.ndarray:
    labels = read_npz_arrays(path, ["labels"])["labels"]
    if labels.dtype.kind not in "iu":
        raise InvalidArgument("path", "hold `labels` that are integers", labels.dtype)
    # With another number of labels than images, the random split would give the labels to the
    # wrong images without any error.
    shape = (len(readers.read_npz(path)),)
    if labels.shape != shape:
        raise InvalidArgument("path", f"hold a label for each image, {shape}", labels.shape)
    return labels


def _tfds_labels(name: str, split: str, data_dir: str) -> np.ndarray:
    labels = readers.read_tfds(name, split, data_dir, "label")
    element: Any = labels.element_spec
    if element.shape.rank != 0 or not element.dtype.is_integer:
        raise InvalidArgument("name", "be a data set whose `label` is one class per image", name)
    batches = list(labels.batch(1024).as_numpy_iterator())
    return np.concatenate(batches) if batches else np.zeros(0, np.int64)
