"""The order of images and random patches, and training batches from memory and from disk."""

import threading
import time

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.image_data import random_uint8
from tf_mdsm.datasets import batches as module
from tf_mdsm.datasets.batches import image_indices, training_batches
from tf_mdsm.datasets.image_store import open_images, write_images
from tf_mdsm.datasets.npy_store import open_npy, write_npy
from tf_mdsm.datasets.patches import Patches, random_indices


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


def test_turns_are_quarter_turns_of_each_image(images):
    """All four, equally often; an image that is flipped is turned after that."""
    indices = image_indices(tf.range(6 * 200, dtype=tf.int64), 50, 7).numpy()
    plain = images[indices]
    for flip in (False, True):
        turned = elements(images, 6, batch_size=200, flip=flip, turn=True).reshape(-1, 4, 4, 3)
        assert turned.dtype == np.float32
        flips = elements(images, 6, batch_size=200, flip=flip).reshape(-1, 4, 4, 3)
        counts = []
        for ours, theirs in zip(turned, flips, strict=True):
            is_same = [np.array_equal(ours, np.rot90(theirs, count)) for count in range(4)]
            assert sum(is_same) == 1
            counts.append(is_same.index(True))
        assert scipy.stats.chisquare(np.bincount(counts, minlength=4)).pvalue > 1e-3
        if not flip:
            np.testing.assert_array_equal(flips, (plain / np.float32(255)).astype(np.float32))


# Patches


@pytest.fixture(scope="module")
def patches():
    """Of 4 x 4 pixels, of images of three sizes."""
    sizes = [(9, 6), (4, 4), (5, 12)]
    return Patches([random_uint8(*size, 3, seed=size[0]) for size in sizes], 4)


PATCH_OPTIONS = {"flip": True, "turn": True}


@pytest.fixture(scope="module")
def six_patch_batches(patches):
    """The first six batches of 24 flipped and turned patches, which one replica gets."""
    return elements(patches, 6, batch_size=24, **PATCH_OPTIONS)


def test_batches_hold_the_patches_of_their_random_numbers(patches, six_patch_batches):
    """Of each step and place: as they are, or in one of the other seven positions of a square."""
    plain = elements(patches, 6, batch_size=24)
    for step in range(6):
        position = tf.range(24, dtype=tf.int64)
        numbers = random_indices(tf.constant(step, tf.int64), position, len(patches), 7).numpy()
        expected = patches[numbers] / np.float32(255)
        np.testing.assert_array_equal(plain[step], expected.astype(np.float32))
    positions = []
    for ours, theirs in zip(
        six_patch_batches.reshape(-1, 4, 4, 3), plain.reshape(-1, 4, 4, 3), strict=True
    ):
        eight = [np.rot90(view, count) for view in (theirs, theirs[:, ::-1]) for count in range(4)]
        positions.append([np.array_equal(ours, other) for other in eight].index(True))
    assert scipy.stats.chisquare(np.bincount(positions, minlength=8)).pvalue > 1e-3


@pytest.mark.parametrize(("first_step", "replicas"), [(4, 1), (3, 2), (1, 4)])
def test_patches_do_not_depend_on_first_step_and_replicas(
    patches, six_patch_batches, first_step, replicas
):
    steps = 6 - first_step
    shares = elements(
        patches,
        steps * replicas,
        batch_size=24,
        first_step=first_step,
        num_replicas=replicas,
        **PATCH_OPTIONS,
    )
    np.testing.assert_array_equal(shares, six_patch_batches[first_step:].reshape(shares.shape))


def test_workers_receive_the_patches_of_their_own_replicas(patches, six_patch_batches):
    arguments = {"num_replicas": 4, "num_workers": 2, "worker": 1, "first_step": 2}
    shares = elements(patches, 4, batch_size=24, **arguments, **PATCH_OPTIONS)
    np.testing.assert_array_equal(shares, six_patch_batches[2:4, 12:].reshape(shares.shape))


def test_patches_from_disk_are_those_from_memory(patches, six_patch_batches, tmp_path):
    write_images(enumerate(patches._images), str(tmp_path))
    stored = Patches(open_images(str(tmp_path))[1], 4)
    shares = elements(stored, 6, batch_size=24, **PATCH_OPTIONS)
    np.testing.assert_array_equal(shares, six_patch_batches)


def test_patches_of_other_seeds_are_others(patches, six_patch_batches):
    others = training_batches(patches, batch_size=24, seed=8, **PATCH_OPTIONS)
    assert (next(iter(others)).numpy() != six_patch_batches[0]).any((1, 2, 3)).mean() > 0.8


# The end of the program


def test_the_end_waits_for_images_that_are_copied():
    """Otherwise a thread ends in Python, and TensorFlow waits for it forever."""
    ended = []

    def copy() -> None:
        module._COPYING.add(threading.get_ident())
        time.sleep(0.1)
        ended.append(True)
        module._COPYING.discard(threading.get_ident())

    thread = threading.Thread(target=copy)
    thread.start()
    module._wait_until_idle()
    assert ended
    thread.join()
