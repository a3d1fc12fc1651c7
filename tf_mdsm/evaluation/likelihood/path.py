"""The laws between a Gaussian and an energy, and moves that leave them as they are."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.gaussian import GaussianReference
from tf_mdsm.samplers.kernels import differentiable_energy, move_each

__all__ = ["AnnealingPath"]

# In place of a move's number where step sizes are drawn: far above all of those.
_STEP_SIZES = 2**31


class AnnealingPath:
    """Densities exp(-beta E / T - (1 - beta) E_ref), beta from 0 to 1, and chains under them.

    Everything is compiled once, for any number of chains.

    Args:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        reference: the Gaussian at beta = 0.
        temperature: T, positive.
        leapfrog_steps: of each move, at least 1.
        moves: made at a time, at least 1.

    Raises:
        InvalidArgument: for numbers that are not such.
    """

    def __init__(
        self,
        energy_and_score_fn: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        reference: GaussianReference,
        temperature: float = 1.0,
        leapfrog_steps: int = 5,
        moves: int = 1,
    ):
        numbers = {"temperature": temperature, "leapfrog_steps": leapfrog_steps, "moves": moves}
        for name, value in numbers.items():
            if not value > 0:
                raise InvalidArgument(name, "be positive", value)
        self.reference = reference
        self._energy_and_score_fn, self._temperature = energy_and_score_fn, temperature
        self._leapfrog_steps, self._moves = leapfrog_steps, moves
        seeds, floats = tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.float32)
        images = tf.TensorSpec([None, *reference.image_shape])
        self._start = tf.function(reference.start_fn, input_signature=[seeds], autograph=False)
        self._measure = tf.function(self._differences, input_signature=[images], autograph=False)
        self._walk = tf.function(
            self._stretch,
            input_signature=[images, seeds, floats, floats, seeds],
            autograph=False,
        )

    def start(self, seeds: np.ndarray) -> np.ndarray:
        """Samples of the reference, float32 [B, H, W, C], for seeds [B], each in [0, 2^63)."""
        return self._start(np.asarray(seeds, np.int64)).numpy()

    def differences(self, images: np.ndarray) -> np.ndarray:
        """E_ref - E / T, whose mean under beta is the slope of log Z in beta, float32 [B]."""
        return self._measure(images).numpy()

    def walk(
        self,
        images: np.ndarray,
        seeds: np.ndarray,
        betas: np.ndarray,
        step_sizes: np.ndarray,
        numbers: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Hamiltonian Monte Carlo with Metropolis' test, each chain by itself, beta after beta.

        Each chain's step size is multiplied by a number in [0.4, 1.2], drawn beforehand, lest
        leapfrog steps come back to where they began (Neal, "MCMC using Hamiltonian dynamics",
        section 4.2). Given it, moves leave the law as it is, whatever the step size.

        Args:
            images: where the chains stand, float32 [B, H, W, C].
            seeds: [B], each in [0, 2^63).
            betas: in [0, 1], one for each time that moves are made, [n].
            step_sizes: epsilon likewise, in pixel units, [n].
            numbers: of these moves among the chain's, in [0, 2^32), [n]; their noise follows
                from it.

        Returns:
            the images at the end; the differences after each time, float32 [B, n]; the share of
            accepted moves, float32 [B, n].
        """
        found = self._walk(
            images,
            np.asarray(seeds, np.int64),
            np.asarray(betas, np.float32),
            np.asarray(step_sizes, np.float32),
            np.asarray(numbers, np.int64),
        )
        return tuple(tensor.numpy() for tensor in found)

    def _differences(self, images: tf.Tensor) -> tf.Tensor:
        energy = self._energy_and_score_fn(images)[0]
        return self.reference.energy_and_score(images)[0] - energy / self._temperature

    def _stretch(self, images, seeds, betas, step_sizes, numbers):
        count, batch = tf.shape(betas)[0], tf.shape(images)[0]

        def body(i, images, differences, accepted):
            images, share = self._move(images, seeds, betas[i], step_sizes[i], numbers[i])
            differences = differences.write(i, self._differences(images))
            return i + 1, images, differences, accepted.write(i, share)

        arrays = [tf.TensorArray(tf.float32, count, element_shape=[None]) for _ in range(2)]
        _, images, *arrays = tf.while_loop(
            lambda i, *_: i < count, body, (tf.constant(0), images, *arrays)
        )
        return images, *(tf.transpose(tf.reshape(a.stack(), [count, batch])) for a in arrays)

    def _move(self, images, seeds, beta, step_size, number):
        """Moves at one beta: the images after them, and the share of accepted ones, [B]."""
        factors = 0.4 + 0.8 * randomness.uniform(seeds, (number, _STEP_SIZES), "annealing", ())

        def kernel(place: tf.Tensor) -> tfp.mcmc.TransitionKernel:
            return tfp.mcmc.HamiltonianMonteCarlo(
                lambda image: -differentiable_energy(between, image[None])[0],
                step_size * tf.gather(factors, place),
                self._leapfrog_steps,
            )

        def between(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            energy, score = self._energy_and_score_fn(images)
            start_energy, start_score = self.reference.energy_and_score(images)
            share, rest = beta / self._temperature, 1 - beta
            return share * energy + rest * start_energy, share * score + rest * start_score

        moved, _, accepted = move_each(
            kernel, images, seeds, number, stream="annealing", moves=self._moves
        )
        return moved, accepted
