"""A served energy with known answers: E(x) = |x|²/2, and images that spell their seeds in bits."""

import math

import numpy as np
import tensorflow as tf

from tests.helpers.served_inputs import SHAPE
from tf_mdsm.serving.energy_functions import EnergyFunctions
from tf_mdsm.serving.signatures import ServedEnergy

LIMIT = 64
COLOR_SHAPE = (32, 32, 3)


def spelled(seeds, shape=SHAPE) -> np.ndarray:
    """The images [B, H, W, C] of seeds: pixel k is bit k of the seed, modulo 64."""
    places = np.arange(math.prod(shape)) % 64
    bits = np.asarray(seeds, np.int64)[:, None] >> places & 1
    return bits.reshape(-1, *shape).astype(np.float32)


def known_energy(images) -> np.ndarray:
    """E(x) of images [B, H, W, C], [B]."""
    return (np.asarray(images, float) ** 2).sum((1, 2, 3)) / 2


def known_noise_level(images) -> np.ndarray:
    """|D(x) - x| / sqrt(d) with D(x) = x/2, of images [B, H, W, C], [B]."""
    return np.sqrt((np.asarray(images, float) ** 2).mean((1, 2, 3))) / 2


def energy_tolerance(shape=SHAPE) -> float:
    """Relative error of a float32 sum of so many squares, whatever its order."""
    return math.prod(shape) * np.finfo(np.float32).eps


def known_functions(factor: tf.Variable, shape=SHAPE) -> EnergyFunctions:
    """The functions. Sampled pixels are -0.5 and 1.5, which are clipped to 0 and 1.

    Args:
        factor: of the energy, 1/2.
        shape: of the images.
    """
    places = tf.range(math.prod(shape), dtype=tf.int64) % 64

    def spell(seeds):
        bits = tf.bitwise.right_shift(seeds[:, None], places[None]) & 1
        return tf.reshape(2.0 * tf.cast(bits, tf.float32) - 0.5, [-1, *shape])

    return EnergyFunctions(
        energy_fn=lambda images: factor * tf.reduce_sum(images**2, [1, 2, 3]),
        score_fn=lambda images: -images,
        denoise_fn=lambda images: images / 2,
        sample_fn=spell,
        inpaint_fn=lambda images, mask, seeds: mask * images + (1 - mask) * spell(seeds),
    )


def served_energy(shape=SHAPE, max_batch_size: int = LIMIT, half: float = 0.5) -> ServedEnergy:
    """The signatures of the functions."""
    factor = tf.Variable(half)
    return ServedEnergy(
        known_functions(factor, shape),
        image_shape=shape,
        max_batch_size=max_batch_size,
        weights={"factor": factor},
    )


def write_known_export(folder, shape=SHAPE, max_batch_size: int = LIMIT) -> str:
    """Saves it as version 1 into a folder of versions, which is returned."""
    served = served_energy(shape, max_batch_size)
    tf.saved_model.save(served, f"{folder}/1", signatures=served.signatures)
    return str(folder)
