"""What Keras' `fit` is given: images without labels, checked before and while they are read."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.pixels import as_images
from tf_mdsm.errors import InvalidArgument, one_line

__all__ = [
    "checked_source",
    "errors_of_sources",
    "images_of",
    "require_no_labels",
    "require_some_images",
]


def images_of(data: Any) -> Any:
    """The images of one batch as Keras hands it over: images, or a tuple that holds only images.

    Raises:
        InvalidArgument: for a batch with labels or weights.
    """
    images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
    require_no_labels(labels)
    if isinstance(images, Mapping):
        requirement = 'be images (of a dictionary use dataset.map(lambda batch: batch["image"]))'
        raise InvalidArgument("x", requirement, f"a dictionary of {', '.join(images)}")
    if weights is not None:
        raise InvalidArgument("sample_weight", _NO_WEIGHTS, "weights of images")
    return images


_NO_WEIGHTS = "be left out (all images have the same weight)"


def require_no_labels(y: Any = None, **weights: Any) -> None:
    """Refuses labels, and weights by their names.

    Raises:
        InvalidArgument: if any of them is not None.
    """
    if y is not None:
        requirement = (
            "be left out, since an energy model has no labels "
            "(of pairs use dataset.map(lambda image, label: image))"
        )
        raise InvalidArgument("y", requirement, "labels")
    for name, value in weights.items():
        if value is not None:
            raise InvalidArgument(name, _NO_WEIGHTS, type(value).__name__)


def require_some_images(source: Any) -> None:
    """Refuses an array, a tensor or a list without images; other sources pass.

    Raises:
        InvalidArgument: for no image.
    """
    if isinstance(source, np.ndarray | tf.Tensor | list) and not len(source):
        raise InvalidArgument("x", "hold at least one image", "no image")


def checked_source(source: Any, image_shape: tuple[int | None, ...], margin: float) -> Any:
    """A source of clean images for `fit`, with its images checked as far as this costs little.

    All images are checked of an array. Those of a `tf.data.Dataset` are checked batch by batch as
    they are read; wrong ones raise what `errors_of_sources` translates. Of a PyDataset the first
    batch is checked. Other sources come back as they are.

    Args:
        source: what `fit` takes as `x`, or as `validation_data`.
        image_shape: height, width and channels; None where any number is right.
        margin: how far images may lie outside of [0, 1].

    Returns:
        the source, to be read in place of the argument.

    Raises:
        InvalidArgument: for labels, weights, an array without images, a list that is no array,
            images of a wrong dtype or shape, and for images that are not finite or lie too far
            outside of [0, 1].
    """
    if isinstance(source, tf.data.Dataset):

        @tf.autograph.experimental.do_not_convert
        def checked(*batch: Any) -> tf.Tensor:
            return _checked_batch(images_of(batch), image_shape, margin)

        return source.map(checked)
    if isinstance(source, keras.utils.PyDataset):
        _require_images(images_of(source[0]), image_shape, margin)
        return source
    if isinstance(source, tuple):
        source = images_of(source)
    if isinstance(source, list):
        source = _as_array(source)
    if isinstance(source, np.ndarray | tf.Tensor):
        _require_images(source, image_shape, margin)
    return source


@contextlib.contextmanager
def errors_of_sources() -> Iterator[None]:
    """Makes TensorFlow's error about a batch that `checked_source` refuses an InvalidArgument."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        _, found, received = error.message.partition(_MARK)
        if not found:
            raise
        low, high, margin = received.split()[:3]
        raise _wrong_values(float(low), float(high), float(margin)) from error


# The mark of an error about a wrong batch; its smallest and largest value follow, and the margin.
_MARK = "tf_mdsm: values of images: "


def _checked_batch(images: Any, image_shape: tuple[int | None, ...], margin: float) -> tf.Tensor:
    """The batch, with its values checked when it is read; a function for `Dataset.map`."""
    pixels = as_images(images, image_shape)
    low, high = tf.reduce_min(pixels), tf.reduce_max(pixels)
    message = tf.strings.format(_MARK + "{} {} {} ", (low, high, tf.constant(margin)))
    with tf.control_dependencies(
        [tf.debugging.Assert(_lies_in_range(low, high, margin), [message])]
    ):
        return tf.identity(images)


def _as_array(images: list) -> np.ndarray:
    """The images of a list, in one array."""
    try:
        return np.asarray(images)
    except (TypeError, ValueError) as error:
        requirement = "be one array of numbers, [B, H, W, C]"
        raise InvalidArgument("x", requirement, one_line(error)) from error


def _require_images(images: Any, image_shape: tuple[int | None, ...], margin: float) -> None:
    """Refuses an array whose dtype, shape or values are not those of images in [0, 1]."""
    first = images[:1]
    as_images(first, image_shape)
    require_some_images(images)
    if first.dtype == np.uint8:
        return
    array = np.asarray(images)
    low, high = float(array.min()), float(array.max())
    if not _lies_in_range(low, high, margin):
        raise _wrong_values(low, high, margin)


def _lies_in_range(low: Any, high: Any, margin: float) -> Any:
    """Whether all values lie in [0, 1], up to the margin; no comparison with NaN holds."""
    return (low >= -margin) & (high <= 1 + margin)


def _wrong_values(low: float, high: float, margin: float) -> InvalidArgument:
    if np.isfinite([low, high]).all():
        requirement = (
            f"hold images in [0, 1], outside by at most {margin:g}, the largest noise level "
            "(pixels from 0 to 255 are to be divided by 255)"
        )
        return InvalidArgument("x", requirement, f"values from {low:g} to {high:g}")
    return InvalidArgument("x", "hold finite numbers", "NaN or infinite values")
