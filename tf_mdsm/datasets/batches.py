"""Training batches in an order that depends on the seed and the step only.

Image number i = step * batch_size + position belongs to epoch i // N of a data set of N images.
Each epoch has its own pseudo-random permutation, which is computed for single positions. Patches
are independent random ones. So the pipeline has no state: nothing is saved, and training can
resume at any step.
"""

import atexit
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.datasets.patches import Patches, random_indices
from tf_mdsm.datasets.pixels import to_float

__all__ = ["image_indices", "orientations", "training_batches"]

# Threads that copy images now, and for how many seconds there is none when batches are complete.
_COPYING: set[int] = set()
_IDLE_SECONDS = 0.05


def image_indices(counter: tf.Tensor, num_images: int, seed: int) -> tf.Tensor:
    """Indices of the images at given positions of the run's endless sequence of images.

    Args:
        counter: step * batch_size + position in the batch, int64 [b].
        num_images: size N of the data set.
        seed: the run's seed.

    Returns:
        indices into the data set, int64 [b]. N consecutive counters that begin at a multiple
        of N contain every image once.
    """
    place: Any = tf.cast(counter, tf.int64)
    epoch, position = place // num_images, place % num_images
    seeds = tf.fill(tf.shape(counter), tf.constant(seed, tf.int64))
    keys = randomness.integers(seeds, (epoch, 0), "order", 3)
    last = tf.fill(tf.shape(counter), tf.constant(num_images - 1, tf.int64))
    # Not `tf.random.experimental.index_shuffle`: it pads a table of seeds along the wrong axis
    # (TensorFlow 2.21).
    return tf.raw_ops.RandomIndexShuffle(index=position, seed=keys, max_index=last, rounds=4)


def orientations(
    step: tf.Tensor, position: tf.Tensor, *, seed: int, flip: bool, turn: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Random flips and quarter turns of the images of a step's batch.

    Args:
        step: of the training run, int64 scalar.
        position: in the global batch, int64 [b].
        seed: the run's seed.
        flip: flip each image left to right with probability 1/2; otherwise none.
        turn: then turn each image by 0 to 3 quarter turns, equally likely; otherwise none.

    Returns:
        whether each image is flipped, bool [b], and its number of quarter turns, int64 [b].
    """
    seeds = tf.fill(tf.shape(position), tf.constant(seed, tf.int64))
    flipped = tf.zeros(tf.shape(position), tf.bool)
    quarters = tf.zeros(tf.shape(position), tf.int64)
    if flip:
        flipped = randomness.uniform(seeds, (step, position), "flip", ()) < 0.5
    if turn:
        bits = randomness.integers(seeds, (step, position), "turn", 1)[:, 0]
        quarters = tf.bitwise.right_shift(bits, tf.constant(30, tf.int64))
    return flipped, quarters


def training_batches(
    images: np.ndarray | Patches,
    *,
    batch_size: int,
    seed: int,
    flip: bool = False,
    turn: bool = False,
    first_step: int = 0,
    num_replicas: int = 1,
    worker: int = 0,
    num_workers: int = 1,
) -> tf.data.Dataset:
    """Endless data set of training images, in each replica's share of the global batch.

    With several workers, each one has L = num_replicas / num_workers replicas and receives the
    shares of its own replicas only: element j is the share of replica worker * L + j % L at step
    first_step + j // L. The shares divide the global batch in order. So the global batch does not
    depend on the number of replicas or workers.

    Args:
        images: uint8, or float32 in [0, 1], [N, H, W, C]. They are not copied: of a `np.memmap`,
            each batch is read from disk when it is needed. Or patches of images.
        batch_size: size of the global batch, divisible by `num_replicas`.
        seed: the run's seed.
        flip: flip each image left to right with probability 1/2.
        turn: then turn each image, a square, by 0 to 3 quarter turns, each with probability 1/4.
        first_step: the step of the first batch.
        num_replicas: replicas in sync, over all workers together.
        worker: index of the worker that receives the batches.
        num_workers: number of processes, each with the same number of replicas.

    Returns:
        a data set of float32 [batch_size / num_replicas, H, W, C], pixels in [0, 1].
    """
    _complete_batches_at_exit()
    share, local_replicas = batch_size // num_replicas, num_replicas // num_workers
    gather = _gather_from(images)

    def batch(element: Any) -> tf.Tensor:
        step = element // local_replicas
        replica = worker * local_replicas + element % local_replicas
        position = replica * share + tf.range(share, dtype=tf.int64)
        if isinstance(images, Patches):
            indices = random_indices(step, position, len(images), seed)
        else:
            indices = image_indices(step * batch_size + position, len(images), seed)
        flipped, quarters = orientations(step, position, seed=seed, flip=flip, turn=turn)
        pixels = to_float(gather(indices, flipped, quarters))
        return tf.ensure_shape(pixels, [share, *images.shape[1:]])

    # A counter without end. If the data set could end, all workers would have to agree at every
    # step on whether it has ended.
    elements = tf.data.Dataset.counter(first_step * local_replicas)
    return elements.map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)


def _gather_from(
    images: np.ndarray | Patches,
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function from indices, flips and turns [b] to images [b, H, W, C], which copies only these.

    TensorFlow's own `gather` would need a tensor of all images, a second copy of the data set, and
    it takes tens of times as long as NumPy to flip and turn a batch.
    """

    def oriented(indices: np.ndarray, flipped: np.ndarray, quarters: np.ndarray) -> np.ndarray:
        pixels = np.asarray(images[indices])
        if flipped.any():
            pixels[flipped] = pixels[flipped][:, :, ::-1]
        for count in range(1, 4):
            if (turned := quarters == count).any():
                pixels[turned] = np.rot90(pixels[turned], count, axes=(1, 2))
        return pixels

    def copies(*arguments: np.ndarray) -> np.ndarray:
        _COPYING.add(threading.get_ident())
        try:
            return oriented(*arguments)
        finally:
            _COPYING.discard(threading.get_ident())

    def gather(*arguments: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(copies, arguments, images.dtype, stateful=False)
        return tf.ensure_shape(pixels, [None, *images.shape[1:]])

    return gather


@functools.cache
def _complete_batches_at_exit() -> None:
    """Makes Python wait at its end for batches that are made ahead.

    A thread that is in Python when it ends never returns to TensorFlow, which then waits for it
    forever as it removes an iterator that is still alive.
    """
    atexit.register(_wait_until_idle)


def _wait_until_idle() -> None:
    """Waits until no thread copies images any more: nobody takes a batch, and some are ahead."""
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < _IDLE_SECONDS:
        if _COPYING:
            idle_since = time.monotonic()
        time.sleep(0.001)
