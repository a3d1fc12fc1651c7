"""Random numbers that depend on a seed and a place in a run, and on nothing else.

A number is a function of (seed, counter, stream): the same in any batch, on any replica, on
any device, with and without XLA. So a run can be continued and an image drawn again.

Source: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
"""

import math

import tensorflow as tf

__all__ = ["integers", "normal", "philox", "uniform"]

# One stream for each use: equal seeds and counters never meet.
_STREAMS = {
    name: number
    for number, name in enumerate(
        (
            *("order", "levels", "training_noise", "flip", "held_out_noise"),
            *("start", "langevin", "start_components", "known_pixels"),
            *("churn", "ancestral", "coarse_to_fine", "metropolis"),
            "annealing",
        )
    )
}

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox(counter: list[tf.Tensor], key: list[tf.Tensor]) -> list[tf.Tensor]:
    """Ten rounds of Philox 4x32.

    Args:
        counter: four words, each uint64 holding 32 bits, broadcastable.
        key: two words likewise.

    Returns:
        four words of 32 random bits, uint64.
    """
    mask = tf.constant(_MASK, tf.uint64)
    shift = tf.constant(32, tf.uint64)
    multiplier_0, multiplier_1 = (tf.constant(m, tf.uint64) for m in _MULTIPLIERS)
    weyl_0, weyl_1 = (tf.constant(w, tf.uint64) for w in _WEYL)
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


def _bits(
    seeds: tf.Tensor, counter: tuple[tf.Tensor, tf.Tensor], stream: str, count: int
) -> tf.Tensor:
    """At least `count` words of 32 random bits for each seed: four tensors uint64 [B, n].

    n is a multiple of 16: compilers take the last few numbers of an array, short of a vector,
    by another logarithm and cosine, and a row's numbers must not depend on the rows beside it.
    """
    seeds = tf.cast(tf.convert_to_tensor(seeds, tf.int64), tf.uint64)[:, None]
    shift = tf.constant(32, tf.uint64)
    key = [tf.bitwise.bitwise_and(seeds, _MASK), tf.bitwise.right_shift(seeds, shift)]
    num_blocks = 16 * math.ceil(count / 64)
    blocks = tf.cast(tf.range(num_blocks, dtype=tf.int64), tf.uint64)[None, :]
    first, second = (tf.cast(tf.reshape(word, [-1, 1]), tf.uint64) for word in counter)
    ones = tf.ones_like(seeds * blocks)
    stream_word = tf.constant(_STREAMS[stream], tf.uint64)
    words = [blocks * ones, first * ones, second * ones, stream_word * ones]
    return philox(words, [word * ones for word in key])


def integers(
    seeds: tf.Tensor, counter: tuple[tf.Tensor, tf.Tensor], stream: str, count: int
) -> tf.Tensor:
    """Integers uniform in [0, 2^32).

    Args:
        seeds: one seed a row, int64 [B], each in [0, 2^63).
        counter: two numbers in [0, 2^32), each a scalar or [B]: (step, place), say.
        stream: what the numbers are for, one of the names above.
        count: how many a row.

    Returns:
        int64 [B, count].
    """
    words = tf.stack(_bits(seeds, counter, stream, count), axis=-1)
    return tf.cast(tf.reshape(words, [tf.shape(words)[0], -1])[:, :count], tf.int64)


def uniform(
    seeds: tf.Tensor, counter: tuple[tf.Tensor, tf.Tensor], stream: str, shape: tuple[int, ...]
) -> tf.Tensor:
    """Numbers uniform in [0, 1): float32 [B, *shape]; arguments as in `integers`."""
    bits = integers(seeds, counter, stream, math.prod(shape))
    numbers = tf.cast(tf.bitwise.right_shift(bits, tf.constant(8, tf.int64)), tf.float32)
    return tf.reshape(numbers * 2.0**-24, _shape(seeds, shape))


def normal(
    seeds: tf.Tensor, counter: tuple[tf.Tensor, tf.Tensor], stream: str, shape: tuple[int, ...]
) -> tf.Tensor:
    """Standard normal numbers, float32 [B, *shape], by the Box-Muller transform.

    Arguments as in `integers`. The integers agree everywhere; the logarithm and the cosine of
    two compilers may differ in the last bit.
    """
    count = math.prod(shape)
    words = [tf.cast(word, tf.float32) for word in _bits(seeds, counter, stream, count)]
    pairs = []
    for first, second in (words[:2], words[2:]):
        radius = tf.sqrt(-2.0 * tf.math.log((first + 1.0) * 2.0**-32))
        angle = second * (2.0 * math.pi * 2.0**-32)
        pairs += [radius * tf.cos(angle), radius * tf.sin(angle)]
    numbers = tf.stack(pairs, axis=-1)
    numbers = tf.reshape(numbers, [tf.shape(numbers)[0], -1])[:, :count]
    return tf.reshape(numbers, _shape(seeds, shape))


def _shape(seeds: tf.Tensor, shape: tuple[int, ...]) -> list:
    """[B, *shape], with B static where it is known."""
    rows = tf.convert_to_tensor(seeds).shape[0]
    return [-1 if rows is None else rows, *shape]
