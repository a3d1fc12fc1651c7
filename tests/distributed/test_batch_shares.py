"""Shares of a batch on one replica; `tests/slow/test_replicas.py` asks about several."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.distributed.batch_shares import BatchShare, mean_over_replicas, share_of_batch


def share_within_strategy(num_images: int) -> BatchShare:
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    return strategy.run(share_of_batch, args=(tf.zeros([num_images, 2]),))


@pytest.mark.parametrize(
    "share_of", [lambda n: share_of_batch(tf.zeros([n, 2])), share_within_strategy]
)
@pytest.mark.parametrize("num_images", [0, 1, 5])
def test_one_replica_has_the_whole_batch(share_of, num_images):
    share = share_of(num_images)
    np.testing.assert_array_equal(share.place, np.arange(num_images))
    assert share.batch_size == num_images
    assert share.weight is None


def test_a_batch_whose_size_is_known_when_it_comes():
    places = tf.function(lambda x: share_of_batch(x).place, autograph=False)
    traced = places.get_concrete_function(tf.TensorSpec([None, 2]))
    np.testing.assert_array_equal(traced(tf.zeros([3, 2])), [0, 1, 2])


def test_means_are_weighed_by_the_numbers_of_images():
    """Replicas with 3, 1 and 0 images: the mean of weighed means is the mean over the images."""
    losses = [np.array([1.0, 2.0, 6.0]), np.array([11.0]), np.array([])]
    weighed = []
    for values in losses:
        share = BatchShare(tf.range(0), tf.constant(4), tf.constant(len(values) * 3 / 4))
        mean = np.mean(values) if len(values) else np.nan
        weighed += share.weigh([tf.constant(mean, tf.float32)])
    assert np.mean(weighed) == pytest.approx(20 / 4)


def test_equal_shares_are_not_weighed():
    values = [tf.constant(np.nan), tf.constant(2.0)]
    assert BatchShare(tf.range(1), tf.constant(1)).weigh(values) is values


def test_the_mean_over_one_replica():
    values = [tf.constant(3.0), tf.constant([1.0, 2.0])]
    assert mean_over_replicas(values) is values
