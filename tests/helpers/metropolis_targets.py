"""A Gaussian target, and MALA and HMC on it."""

import numpy as np
import tensorflow as tf

from tf_mdsm.samplers.conditioning import NOTHING_KNOWN
from tf_mdsm.samplers.metropolis import HamiltonianMonteCarlo, MetropolisLangevin
from tf_mdsm.samplers.starts import isotropic_start

SHAPE, MIDDLE = (2, 2, 1), 0.5


# Positively correlated pixels.
PRECISION = (4.0 * np.eye(4) - 0.9).astype(np.float32)


# So few leapfrog steps that they turn no direction of the Gaussian by half a circle.
KINDS = {"mala": (MetropolisLangevin, {}), "hmc": (HamiltonianMonteCarlo, {"leapfrog_steps": 2})}


def gaussian(x):
    """Energy and score of N(MIDDLE, PRECISION^-1)."""
    flat = tf.reshape(x - MIDDLE, [-1, 4])
    gradient = tf.matmul(flat, PRECISION)
    return 0.5 * tf.reduce_sum(flat * gradient, 1), -tf.reshape(gradient, tf.shape(x))


def int_seeds(count, first=0):
    return tf.range(first, first + count, dtype=tf.int64)


def sampler(kind, energy=gaussian, temperature=1.0, steps=25, moves=1, step_size=0.6, **options):
    cls, extra = KINDS[kind]
    schedule = np.full(steps, temperature, np.float32), np.full(steps, step_size, np.float32)
    start = options.pop("start", isotropic_start(SHAPE))
    sigma0 = options.pop("sigma0", 0.1)
    return cls(energy, start, *schedule, moves, sigma0, **{**extra, **options})


def advance(sampler, images, seeds, known=NOTHING_KNOWN):
    compiled = tf.function(
        lambda images, seeds: sampler.advance(images, seeds, 0, sampler.num_steps, known),
        autograph=False,
    )
    return compiled(images, seeds)[0].numpy()


def accepted_fractions(sampler, images, seeds):
    """The fraction of accepted moves of each image in the first step."""
    move = tf.function(lambda x, s: sampler.move(x, s, tf.constant(0))[2], autograph=False)
    return move(images, seeds).numpy()
