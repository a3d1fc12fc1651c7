"""Batches in an order that can be entered at any step: no state, nothing to save.

Image i = step * batch_size + place of a run belongs to epoch i // N, and each epoch is a
pseudo-random permutation that can be evaluated at one place.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.datasets.pixels import to_float

__all__ = ["image_indices", "training_batches"]


def image_indices(counter: tf.Tensor, num_images: int, seed: int) -> tf.Tensor:
    """Which image stands at each place of a run.

    Args:
        counter: step * batch_size + place, int64 [b].
        num_images: size N of the data set.
        seed: the run's seed.

    Returns:
        indices into the data set, int64 [b]; N consecutive counters that begin at a multiple
        of N hold every image once.
    """
    counter = tf.cast(counter, tf.int64)
    epoch, position = counter // num_images, counter % num_images
    seeds = tf.fill(tf.shape(counter), tf.constant(seed, tf.int64))
    keys = randomness.integers(seeds, (epoch, 0), "order", 3)
    last = tf.fill(tf.shape(counter), tf.constant(num_images - 1, tf.int64))
    # The Python function of this op pads a table of seeds along the wrong axis (TF 2.21).
    return tf.raw_ops.RandomIndexShuffle(index=position, seed=keys, max_index=last, rounds=4)


def _from_memory(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function of indices [b] to the images there, [b, H, W, C]."""
    with tf.device("CPU:0"):
        stored = tf.constant(images)
    return lambda chosen: tf.gather(stored, chosen)


def _from_disk(images: np.memmap) -> Callable[[tf.Tensor], tf.Tensor]:
    """The same, which reads these images alone."""

    def take(chosen: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(
            lambda indices: np.asarray(images[indices]), [chosen], images.dtype, stateful=False
        )
        return tf.ensure_shape(pixels, [None, *images.shape[1:]])

    return take


def training_batches(
    images: np.ndarray,
    batch_size: int,
    seed: int,
    flip: bool = False,
    first_step: int = 0,
    num_replicas: int = 1,
    worker: int = 0,
    num_workers: int = 1,
) -> tf.data.Dataset:
    """Endless training images in each replica's share of the global batch.

    Worker w of W with L = num_replicas / W replicas of its own is served their shares only:
    element j is that of replica w L + j % L at step first_step + j // L. Places are in order,
    so the global batch depends neither on the number of replicas nor on that of workers.

    Args:
        images: uint8, or float32 in [0, 1], [N, H, W, C]; of those on disk (`np.memmap`) each
            batch is read when its turn comes.
        batch_size: of the global batch, divisible by `num_replicas`.
        seed: the run's seed.
        flip: flip each image left to right with probability 1/2.
        first_step: the first update to serve.
        num_replicas: replicas in sync, over all workers together.
        worker: which of the workers is served.
        num_workers: processes with the same number of replicas each.

    Returns:
        a dataset of float32 [batch_size / num_replicas, H, W, C].
    """
    share, num_local = batch_size // num_replicas, num_replicas // num_workers
    take = _from_disk(images) if isinstance(images, np.memmap) else _from_memory(images)

    def batch(element: tf.Tensor) -> tf.Tensor:
        step, replica = element // num_local, worker * num_local + element % num_local
        place = replica * share + tf.range(share, dtype=tf.int64)
        chosen = image_indices(step * batch_size + place, len(images), seed)
        pixels = to_float(take(chosen))
        if flip:
            seeds = tf.fill([share], tf.constant(seed, tf.int64))
            flipped = randomness.uniform(seeds, (step, place), "flip", (1, 1, 1)) < 0.5
            pixels = tf.where(flipped, pixels[:, :, ::-1], pixels)
        return tf.ensure_shape(pixels, [share, *images.shape[1:]])

    # Endless to TensorFlow as well, or workers would ask each other at every step for an end.
    elements = tf.data.Dataset.counter(first_step * num_local)
    return elements.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)
