"""Energies whose best denoiser is known, methods, and functions that advance them."""

import numpy as np
import tensorflow as tf

from tests.helpers.targets import FunctionTarget
from tf_mdsm.samplers.ancestral import AncestralEuler
from tf_mdsm.samplers.base import Method
from tf_mdsm.samplers.coarse_to_fine import CoarseToFine
from tf_mdsm.samplers.conditioning import NOTHING_KNOWN
from tf_mdsm.samplers.heun import Heun
from tf_mdsm.samplers.langevin import AnnealedLangevin
from tf_mdsm.samplers.metropolis import HMC, MALA
from tf_mdsm.samplers.multistep import Multistep
from tf_mdsm.samplers.schedules import (
    annealing_temperatures,
    falling_sigmas,
    growing_step_sizes,
    temperatures_of,
)

SHAPE, SIGMA0, MIDDLE, STD = (8, 8, 4), 0.1, 0.5, 0.3
SIZE = int(np.prod(SHAPE))


def one_image(x):
    """Energy and score if MIDDLE is the only clean image."""
    offset = x - MIDDLE
    return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * SIGMA0**2), -offset / SIGMA0**2


def gaussian(x):
    """Energy and score for clean images N(MIDDLE, STD^2 I).

    The energy is zero where it is least, and precise there: at low temperatures the rounding of
    a large energy would decide on moves of MALA and HMC.
    """
    offset = x - MIDDLE
    square = tf.reduce_sum(offset**2, (1, 2, 3), keepdims=True)
    excess = square / (SIZE * STD**2) - 1
    energy = SIZE * STD**2 * (excess - tf.math.log1p(excess)) / (2 * SIGMA0**2)
    return tf.reshape(energy, [-1]), -offset * (1 - SIZE * STD**2 / square) / SIGMA0**2


def constant_images(x):
    """Energy and score if clean images are constant: D is the mean of the pixels, at any noise."""
    offset = x - tf.reduce_mean(x, (1, 2, 3), keepdims=True)
    return tf.reduce_sum(offset**2, (1, 2, 3)) / (2 * SIGMA0**2), -offset / SIGMA0**2


def int_seeds(count, first=0):
    return tf.range(first, first + count, dtype=tf.int64)


def target(energy_and_score=constant_images, shape=SHAPE) -> FunctionTarget:
    return FunctionTarget(energy_and_score, shape, SIGMA0)


def methods() -> dict[str, Method]:
    """A method of each kind; all start with noise of level 1."""
    sigmas = falling_sigmas(1.0, 0.01, 12)
    tempered = temperatures_of(sigmas, SIGMA0), 0.5 * sigmas
    return {
        "annealed_langevin": AnnealedLangevin(annealing_temperatures(100.0, 3, 100, 20), 0.07),
        "heun": Heun(sigmas),
        "churned_heun": Heun(sigmas, churn=3.0),
        "multistep": Multistep(sigmas),
        "ancestral": AncestralEuler(sigmas),
        "coarse_to_fine": CoarseToFine(1.0, 0.02, growing_step_sizes(0.05, 60), beta=0.3),
        "mala": MALA(*tempered, moves=2),
        "hmc": HMC(*tempered, moves=2, leapfrog_steps=2),
    }


ALL = sorted(methods())


def advance(target, method, images, first_step=0, num_steps=None, seeds=None):
    seeds = int_seeds(len(images)) if seeds is None else seeds
    num_steps = method.num_steps if num_steps is None else num_steps

    @tf.function(autograph=False)
    def compiled(images):
        state = method.initial_state(images)
        return method.advance(target, state, seeds, first_step, num_steps)

    return tf.nest.map_structure(lambda tensor: tensor.numpy(), compiled(images))


def one_step(target, method, seeds, known=NOTHING_KNOWN):
    """A compiled function of a state and the index of a step, which runs this step."""

    @tf.function(autograph=False)
    def compiled(state, index):
        return method.advance(target, state, seeds, index, 1, known)[0]

    return lambda state, index: compiled(state, tf.constant(index))
