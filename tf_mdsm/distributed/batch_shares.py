"""Which images of a global batch a replica has, and means over the global batch."""

import dataclasses

import tensorflow as tf

__all__ = ["BatchShare", "mean_over_replicas", "share_of_batch"]


@dataclasses.dataclass(frozen=True)
class BatchShare:
    """One replica's images of a global batch; the replicas divide the batch in order.

    Attributes:
        place: places of the images in the global batch, int32 [b].
        batch_size: number of images of the global batch, int32 scalar.
        weight: the replica's number of images, divided by its mean over the replicas, float32
            scalar; None if all replicas have equally many.
    """

    place: tf.Tensor
    batch_size: tf.Tensor
    weight: tf.Tensor | None = None

    def weigh(self, values: list[tf.Tensor]) -> list[tf.Tensor]:
        """Weighs means over this replica's images, so that their mean is that over all images.

        A replica without images has the weight 0; its means may be NaN.
        """
        if self.weight is None:
            return values
        return [
            tf.math.multiply_no_nan(value, tf.cast(self.weight, value.dtype)) for value in values
        ]


def share_of_batch(images: tf.Tensor) -> BatchShare:
    """The share of the replica in whose context this is called.

    The replicas have equally many images if a traced function knows how many. Otherwise they tell
    each other, since the last batch of an epoch may divide unevenly, and some may have none.

    Args:
        images: this replica's images, [b, ...].
    """
    context = tf.distribute.get_replica_context()
    num_replicas, replica = context.num_replicas_in_sync, context.replica_id_in_sync_group
    num_images = tf.shape(images)[0]
    is_known = images.shape[0] is not None and not tf.executing_eagerly()
    if num_replicas == 1 or is_known:
        place = replica * num_images + tf.range(num_images)
        return BatchShare(place, num_images * num_replicas)
    own_count = num_images * tf.one_hot(replica, num_replicas, dtype=tf.int32)
    counts = context.all_reduce(tf.distribute.ReduceOp.SUM, own_count)
    batch_size = tf.reduce_sum(counts)
    return BatchShare(
        place=tf.cumsum(counts, exclusive=True)[replica] + tf.range(num_images),
        batch_size=batch_size,
        weight=tf.cast(num_images * num_replicas, tf.float32) / tf.cast(batch_size, tf.float32),
    )


def mean_over_replicas(values: list[tf.Tensor]) -> list[tf.Tensor]:
    """Means of each replica's values over all replicas, by one reduction."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, values)
