"""Random numbers that are functions of (seed, counter, stream).

A number depends on nothing else: it is the same in a batch of any size, on any replica, on any
device, with and without XLA. Therefore a run that is resumed uses the same noise as a run that
was never stopped, and an image can be sampled again from its seed.

Source: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
"""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument

__all__ = ["Counter", "Shape", "integers", "normal", "philox", "uniform"]

# Two numbers in [0, 2^32), each a scalar or [B]: in training (step, place in the global batch), in
# a sampler (step, number of the draw in it), as an image depends on its own seed alone.
Counter = tuple[tf.Tensor | int, tf.Tensor | int]
# The shape of a row's numbers. None is part of the type only because TensorFlow's shapes have it.
Shape = Sequence[int | None]

# Uses of random numbers. A stream's number is its position here, and all numbers follow from it:
# new names are appended, and no name changes its position.
_STREAMS = (
    "order",  # order of the training images in an epoch
    "levels",  # noise levels of a batch
    "training_noise",  # noise on training images
    "flip",  # horizontal flips of training images
    "validation_noise",  # noise on validation images
    "start",  # noise at the start of a sampling run
    "langevin",  # noise of annealed Langevin dynamics
    "start_components",  # coordinates in the leading components of a Gaussian start
    "known_pixels",  # noise on the known pixels in inpainting
    "churn",  # noise that Heun's method adds
    "ancestral",  # noise of the ancestral Euler method
    "coarse_to_fine",  # noise of coarse-to-fine ascent
    "metropolis",  # proposals and acceptance tests of MALA and HMC
    "annealing",  # step sizes and proposals of annealed importance sampling
    "start_mixture",  # which Gaussian of a mixture a start comes from
    "likelihood",  # noise on images whose likelihood is bounded
    "probes",  # random signs that estimate the divergence of a flow
    "patch",  # which patches of the training images a batch holds
    "turn",  # quarter turns of training images
)

# Of NumPy: under strict rules of types TensorFlow takes Python's integers for int32.
_MASK = np.uint64(0xFFFFFFFF)
_SHIFT = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))


def normal(seeds: tf.Tensor, counter: Counter, stream: str, shape: Shape) -> tf.Tensor:
    """Standard normal numbers, float32 [B, *shape], by the Box-Muller transform.

    The underlying integers are the same on all devices. The logarithms and cosines of two
    compilers may differ in the last bit.

    Args:
        seeds: one seed per row, int64 [B], each in [0, 2^63).
        counter: two numbers in [0, 2^32), each a scalar or [B], as `Counter` has them.
        stream: use of the numbers, one of the names in `_STREAMS`.
        shape: shape of one row's numbers, statically known.

    Returns:
        float32 [B, *shape].

    Raises:
        InvalidArgument: for a shape that is not statically known.
    """
    dimensions = _static_dimensions(shape)
    count = math.prod(dimensions)
    words = [tf.cast(word, tf.float32) for word in _random_words(seeds, counter, stream, count)]
    pairs = []
    for first, second in (words[:2], words[2:]):
        radius = tf.sqrt(-2.0 * tf.math.log((first + 1.0) * 2.0**-32))
        angle = second * (2.0 * math.pi * 2.0**-32)
        pairs += [radius * tf.cos(angle), radius * tf.sin(angle)]
    numbers = tf.stack(pairs, axis=-1)
    numbers = tf.reshape(numbers, [tf.shape(numbers)[0], -1])[:, :count]
    return tf.reshape(numbers, [_num_rows(seeds), *dimensions])


def uniform(seeds: tf.Tensor, counter: Counter, stream: str, shape: Shape) -> tf.Tensor:
    """Numbers uniform in [0, 1), float32 [B, *shape]; arguments and errors as in `normal`."""
    dimensions = _static_dimensions(shape)
    bits = integers(seeds, counter, stream, math.prod(dimensions))
    numbers = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.int64)), tf.float32)
    return tf.reshape(numbers * 2.0**-24, [_num_rows(seeds), *dimensions])


def integers(seeds: tf.Tensor, counter: Counter, stream: str, count: int) -> tf.Tensor:
    """Integers uniform in [0, 2^32), int64 [B, count].

    Args:
        seeds: one seed per row, int64 [B], each in [0, 2^63).
        counter: two numbers in [0, 2^32), each a scalar or [B], as `Counter` has them.
        stream: use of the numbers, one of the names in `_STREAMS`.
        count: how many numbers per row.
    """
    words = tf.stack(_random_words(seeds, counter, stream, count), axis=-1)
    return tf.cast(tf.reshape(words, [tf.shape(words)[0], -1])[:, :count], tf.int64)


def philox(counter: Sequence[tf.Tensor], key: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Four words of random bits from a counter and a key: ten rounds of Philox 4x32.

    Args:
        counter: four words, each uint64 holding 32 bits, broadcastable to one shape.
        key: two words, likewise.

    Returns:
        four words of 32 random bits, uint64 of that shape.
    """
    mask, shift = tf.constant(_MASK), tf.constant(_SHIFT)
    multiplier_0, multiplier_1 = map(tf.constant, _MULTIPLIERS)
    weyl_0, weyl_1 = map(tf.constant, _WEYL)
    word_0, word_1, word_2, word_3 = counter
    key_0, key_1 = key
    xor, right_shift, keep = tf.bitwise.bitwise_xor, tf.bitwise.right_shift, tf.bitwise.bitwise_and
    for _ in range(10):
        product_0, product_1 = word_0 * multiplier_0, word_2 * multiplier_1
        word_0, word_1, word_2, word_3 = (
            xor(xor(right_shift(product_1, shift), word_1), key_0),
            keep(product_1, mask),
            xor(xor(right_shift(product_0, shift), word_3), key_1),
            keep(product_0, mask),
        )
        key_0, key_1 = keep(key_0 + weyl_0, mask), keep(key_1 + weyl_1, mask)
    return [word_0, word_1, word_2, word_3]


def _random_words(seeds: tf.Tensor, counter: Counter, stream: str, count: int) -> list[tf.Tensor]:
    """At least `count` words of 32 random bits for each seed: four tensors, uint64 [B, n].

    n is a multiple of 16. The reason: compilers compute an array vector by vector, and the last
    few numbers, which do not fill a vector, by another logarithm and cosine. A row's numbers must
    not depend on the other rows of the batch.
    """
    seeds = tf.cast(tf.convert_to_tensor(seeds, tf.int64), tf.uint64)[:, None]
    key = [tf.bitwise.bitwise_and(seeds, _MASK), tf.bitwise.right_shift(seeds, _SHIFT)]
    num_blocks = 16 * math.ceil(count / 64)
    blocks = tf.cast(tf.range(num_blocks, dtype=tf.int64), tf.uint64)[None, :]
    first, second = (tf.cast(tf.reshape(word, [-1, 1]), tf.uint64) for word in counter)
    stream_word = tf.constant([[_STREAMS.index(stream)]], tf.uint64)
    # The words meet in the rounds, and so get one shape there. They are not filled up to it before:
    # GPUs have no operation that fills an array of uint64.
    return philox([blocks, first, second, stream_word], key)


def _static_dimensions(shape: Shape) -> list[int]:
    """The dimensions of a shape as integers.

    Raises:
        InvalidArgument: for a dimension that is None.
    """
    dimensions = [dimension for dimension in shape if dimension is not None]
    if len(dimensions) < len(shape):
        raise InvalidArgument("shape", "be statically known", shape)
    return dimensions


def _num_rows(seeds: tf.Tensor) -> int:
    """The number of seeds, or -1 where it is not statically known."""
    rows = tf.convert_to_tensor(seeds).shape[0]
    return -1 if rows is None else rows
