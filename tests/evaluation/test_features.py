"""Feature extraction in batches, and fingerprints of networks."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from tests.helpers.image_data import random_uint8
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.features import extract_in_batches, fingerprint, require_features


def stub_network(batch):
    """Features and logits without weights."""
    return batch.reshape(len(batch), -1) * 2.0, batch.mean(axis=(1, 2))


def test_features_do_not_depend_on_the_batch_size():
    images = random_uint8(23, 4, 4, 3)
    expected = extract_in_batches(stub_network, images, 23)
    for batch_size in (1, 5, 100):
        for ours, theirs in zip(
            extract_in_batches(stub_network, images, batch_size), expected, strict=True
        ):
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, theirs)


def test_features_are_held_once_in_single_precision():
    """Besides them, the memory holds a few batches, however many images there are."""
    images, size = random_uint8(4_000, 2, 2, 1), 500

    def wide_network(batch):
        values = np.repeat(batch.reshape(len(batch), -1).astype(np.float32), size // 4, axis=1)
        return values, values[:, :2]

    tracemalloc.start()
    try:
        features, _ = extract_in_batches(wide_network, images, 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert features.nbytes == 4_000 * size * 4
    assert peak < features.nbytes + 6 * 100 * size * 4


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_have_the_features_of_their_image_file(dtype):
    images = random_uint8(5, 4, 4, 1)
    floats = (images / 255).astype(dtype)
    of_floats = extract_in_batches(stub_network, floats, 2)
    of_levels = extract_in_batches(stub_network, images, 2)
    for ours, theirs in zip(of_floats, of_levels, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((0, 4, 4, 1)), r"be images \[N, H, W, C\]"),
        (np.zeros((4, 4, 1)), r"be images \[N, H, W, C\]"),
        (np.zeros((2, 4, 4, 1), np.int64), "be uint8 or float"),
        (np.full((2, 4, 4, 1), 1.5), r"pixels in \[0, 1\]"),
        (np.full((2, 4, 4, 1), np.nan), r"pixels in \[0, 1\]"),
    ],
)
def test_arrays_that_are_not_images_are_refused(images, message):
    with pytest.raises(InvalidArgument, match=message):
        extract_in_batches(stub_network, images, 8)


def test_a_fingerprint_depends_on_all_contents():
    content = bytes(range(100))
    expected = hashlib.sha256(content).hexdigest()[:16]
    assert fingerprint([content[:30], content[30:]]) == expected
    assert fingerprint([content[:-1]]) != expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((0, 3)), r"`samples` must be features \[N, d\]"),
        (np.zeros(3), r"`samples` must be features \[N, d\]"),
        (np.array([[1.0, np.inf]]), "`samples` must be finite numbers"),
    ],
)
def test_arrays_that_are_not_features_are_refused(values, message):
    require_features("samples", np.ones((2, 3)))
    with pytest.raises(InvalidArgument, match=message):
        require_features("samples", values)
