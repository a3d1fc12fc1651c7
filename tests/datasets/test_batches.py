"""The order of images, and training batches from memory and from disk."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets.batches import image_indices, training_batches
from tf_mdsm.datasets.npy_store import open_npy, write_npy


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 500), seed=st.integers(0, 2**62), epoch=st.integers(0, 10**6))
def test_an_epoch_contains_every_image_once(count, seed, epoch):
    counters = tf.range(epoch * count, (epoch + 1) * count, dtype=tf.int64)
    indices = image_indices(counters, count, seed).numpy()
    np.testing.assert_array_equal(np.sort(indices), np.arange(count))


def test_orders_differ_between_epochs_and_seeds():
    counters = tf.range(300, dtype=tf.int64)
    orders = [image_indices(counters + 300 * epoch, 300, 1).numpy() for epoch in range(3)]
    orders.append(image_indices(counters, 300, 2).numpy())
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).mean() < 0.05


def elements(images, count, **arguments):
    """The first batches, or shares of batches."""
    batches = training_batches(images, seed=7, **arguments)
    return np.stack(list(batches.take(count).as_numpy_iterator()))


@pytest.fixture(scope="module")
def images():
    return random_uint8(50, 4, 4, 3)


@pytest.fixture(scope="module")
def six_batches(images):
    """The first six batches of 24 flipped images, which one replica gets."""
    return elements(images, 6, batch_size=24, flip=True)


def test_batches_hold_the_images_of_their_indices(images, six_batches):
    """Each is as it is stored or its mirror image, as floats."""
    indices = image_indices(tf.range(6 * 24, dtype=tf.int64), 50, 7).numpy()
    expected = images[indices].astype(np.float32) / 255
    plain = elements(images, 6, batch_size=24).reshape(-1, 4, 4, 3)
    assert plain.dtype == np.float32
    np.testing.assert_allclose(plain, expected, rtol=1e-6)
    flipped = six_batches.reshape(-1, 4, 4, 3)
    is_same = np.isclose(flipped, expected).all((1, 2, 3))
    np.testing.assert_allclose(flipped[~is_same], expected[~is_same, :, ::-1], rtol=1e-6)
    assert 0 < is_same.sum() < len(is_same)


def test_there_is_no_second_copy_of_the_images(images):
    """Batches show what the array holds at that moment."""
    own = images.copy()
    batches = iter(training_batches(own, batch_size=5, seed=7))
    own[:] = 51
    for _ in range(20):
        batch = next(batches).numpy()
    np.testing.assert_allclose(batch, 0.2, rtol=1e-6)


@pytest.mark.parametrize(("first_step", "replicas"), [(4, 1), (1, 4)])
def test_batches_do_not_depend_on_first_step_and_replicas(
    images, six_batches, first_step, replicas
):
    arguments = {"first_step": first_step, "num_replicas": replicas}
    steps = 6 - first_step
    shares = elements(images, steps * replicas, batch_size=24, flip=True, **arguments)
    expected = six_batches[first_step:].reshape(shares.shape)
    np.testing.assert_array_equal(shares, expected)


def test_workers_receive_the_shares_of_their_own_replicas(images, six_batches):
    """Of two workers with two replicas each, the second one gets the second half of each batch."""
    arguments = {"num_replicas": 4, "num_workers": 2, "worker": 1, "first_step": 2}
    shares = elements(images, 4, batch_size=24, flip=True, **arguments)
    np.testing.assert_array_equal(shares, six_batches[2:4, 12:].reshape(shares.shape))


def test_half_of_the_images_are_flipped():
    images = np.zeros((10, 2, 2, 1), np.uint8)
    images[:, :, 0] = 255
    flipped = elements(images, 20, batch_size=100, flip=True)[:, :, 0, 1, 0]
    assert abs(flipped.mean() - 0.5) < 4.5 * 0.5 / np.sqrt(2_000)


def test_batches_from_disk_are_those_from_memory(images, six_batches, tmp_path):
    write_npy([images], str(tmp_path / "images.npy"))
    stored = open_npy(str(tmp_path / "images.npy"))
    arguments = {"first_step": 3, "num_replicas": 2}
    shares = elements(stored, 6, batch_size=24, flip=True, **arguments)
    np.testing.assert_array_equal(shares, six_batches[3:].reshape(shares.shape))
