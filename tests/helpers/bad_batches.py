"""Training data with pixels that are not a number."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm.datasets.batches import training_batches


def batches_with_nan_at(*places: int) -> Callable:
    """`training_batches` in which all pixels of the batch for step `place` + 1 are NaN.

    Args:
        *places: one for each session that is opened.
    """
    remaining = iter(places)

    def batches(images, *, first_step, **settings):
        place = next(remaining)
        steps = tf.data.Dataset.counter(first_step)
        served = training_batches(images, first_step=first_step, **settings)
        return tf.data.Dataset.zip(steps, served).map(
            lambda step, images: tf.where(step == place, np.float32("nan"), images)
        )

    return batches
