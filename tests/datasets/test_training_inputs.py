"""What `fit` is given: sources of images that pass, and what is refused of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.datasets.training_inputs import (
    checked_source,
    errors_of_sources,
    images_of,
    require_no_labels,
    require_some_images,
)
from tf_mdsm.errors import InvalidArgument

SHAPE = (4, 4, 1)
MARGIN = 0.5


def images(count=6, low=0.0, high=1.0):
    return np.linspace(low, high, count * 16).reshape(count, *SHAPE).astype(np.float32)


class Batches(keras.utils.PyDataset):
    def __init__(self, array):
        super().__init__()
        self.array = array

    def __len__(self):
        return len(self.array) // 2

    def __getitem__(self, index):
        return self.array[2 * index : 2 * index + 2]


def dataset(array):
    return tf.data.Dataset.from_tensor_slices(array).batch(2)


SOURCES = {"NumPy": np.asarray, "tensor": tf.constant, "PyDataset": Batches, "tf.data": dataset}


def read(source):
    """All images of a checked source, in one array."""
    with errors_of_sources():
        if isinstance(source, tf.data.Dataset):
            return np.concatenate(list(source.as_numpy_iterator()))
    if isinstance(source, Batches):
        return np.concatenate([source[i] for i in range(len(source))])
    return np.asarray(source)


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("scale", [1, 255], ids=["float32", "uint8"])
def test_images_pass_unchanged(kind, scale):
    array = images() if scale == 1 else (255 * images()).astype(np.uint8)
    checked = read(checked_source(SOURCES[kind](array), SHAPE, MARGIN))
    np.testing.assert_array_equal(checked, array)
    assert checked.dtype == array.dtype


def test_a_data_set_keeps_its_number_of_batches_and_its_order_of_shuffling():
    """The check reads nothing by itself, so that a shuffled data set is not advanced."""

    def shuffled(check):
        source = tf.data.Dataset.from_tensor_slices(images()).shuffle(6, seed=1).batch(2)
        source = checked_source(source, SHAPE, MARGIN) if check else source
        assert source.cardinality() == 3
        return [np.concatenate(list(source.as_numpy_iterator())) for _ in range(2)]

    for checked, unchecked in zip(shuffled(True), shuffled(False), strict=True):
        np.testing.assert_array_equal(checked, unchecked)


@pytest.mark.parametrize("kind", SOURCES)
def test_values_within_the_margin_pass(kind):
    read(checked_source(SOURCES[kind](images(low=-MARGIN, high=1 + MARGIN)), SHAPE, MARGIN))


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            images(2, 0, 255),
            r"images in \[0, 1\], .* divided by 255\)\. Received: values from 0 to 255",
        ),
        (images(2, -0.6, 1), "values from -0.6 to 1$"),
        (images(2, 0, 1.6), "values from 0 to 1.6$"),
        (np.where(images(2) > 0.9, np.nan, images(2)), "finite numbers"),
        (np.where(images(2) > 0.9, np.inf, images(2)), "finite numbers"),
    ],
    ids=["0 to 255", "below", "above", "NaN", "infinite"],
)
def test_values_that_are_no_images_are_refused(kind, array, message):
    with pytest.raises(InvalidArgument, match=f"`x` must hold .*{message}"):
        read(checked_source(SOURCES[kind](array), SHAPE, MARGIN))


@pytest.mark.parametrize("kind", SOURCES)
def test_wrong_shapes_and_dtypes_are_refused_before_anything_is_read(kind):
    for array in (np.zeros((4, 4, 4, 3)), np.zeros((4, *SHAPE), np.int32)):
        with pytest.raises(InvalidArgument, match="`images` must"):
            checked_source(SOURCES[kind](array), SHAPE, MARGIN)


def test_a_list_of_images_of_several_shapes_is_refused():
    for ragged in ([[1, 2], [3]], [images(1)[0], images(1)[0, :3]]):
        for source in (ragged, (ragged,)):
            with pytest.raises(InvalidArgument, match="`x` must be one array of numbers"):
                checked_source(source, SHAPE, MARGIN)


def test_a_data_set_without_batches_is_refused():
    with pytest.raises(InvalidArgument, match=r"dataset\.batch\(64\)"):
        checked_source(tf.data.Dataset.from_tensor_slices(images()), SHAPE, MARGIN)


def test_labels_and_weights_are_refused():
    x, labels = images(), np.zeros(6)
    for data in ((x, labels), (x, labels, labels), [x, labels], dataset((x, labels))):
        with pytest.raises(InvalidArgument, match=r"`y` must .*lambda image, label: image"):
            checked_source(data, SHAPE, MARGIN) if not isinstance(data, list) else images_of(data)
    with pytest.raises(InvalidArgument, match="`sample_weight` must be left out"):
        images_of((x, None, labels))
    with pytest.raises(InvalidArgument, match=r"`class_weight` must be left out.*dict"):
        require_no_labels(class_weight={0: 1.0})
    require_no_labels(None, class_weight=None, sample_weight=None)


def test_images_of_a_batch():
    x = images()
    for data in (x, (x,), (x, None), (x, None, None)):
        assert images_of(data) is x
    with pytest.raises(InvalidArgument, match=r'batch\["image"\].*a dictionary of image, label'):
        images_of({"image": x, "label": x})


def test_other_errors_of_tensorflow_pass():
    with pytest.raises(tf.errors.InvalidArgumentError), errors_of_sources():
        tf.reshape(tf.zeros([3]), [2])


@pytest.mark.parametrize("kind", ["NumPy", "tensor"])
def test_an_array_of_no_images_is_refused(kind):
    none = SOURCES[kind](images(0))
    for check in (require_some_images, lambda source: checked_source(source, SHAPE, MARGIN)):
        with pytest.raises(InvalidArgument, match="`x` must hold at least one image"):
            check(none)
    with pytest.raises(InvalidArgument, match="`x` must hold at least one image"):
        require_some_images([])
    for source in (images(1), images(1).tolist(), dataset(images(0)), Batches(images(0)), None):
        require_some_images(source)


def test_other_sources_pass():
    source = (batch for batch in [images()])
    assert checked_source(source, SHAPE, MARGIN) is source
