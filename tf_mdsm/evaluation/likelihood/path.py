"""The annealing path from a Gaussian to an energy, and Hamiltonian Monte Carlo along it."""

from typing import Any

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument, RunError
from tf_mdsm.evaluation.likelihood.reference import Reference
from tf_mdsm.samplers.kernels import EnergyAndScore, hamiltonian_moves

__all__ = ["AnnealingPath", "require_finite"]

# Second counter of the random step sizes, in place of a move's number, which is far below it.
_STEP_SIZE_COUNTER = 2**31


class AnnealingPath:
    """Densities exp(-beta E / T - (1 - beta) E_ref), beta from 0 to 1, and moves under them.

    All densities are zero outside the reference's domain. The moves are Hamiltonian Monte Carlo
    (HMC); a move that ends outside the domain is rejected, at every beta. All functions are
    compiled once, for any number of chains.

    Args:
        energy_and_score_fn: images to energies [B] and scores -dE/dx [B, H, W, C].
        reference: the density at beta = 0, on the domain of all densities.
        temperature: T, positive.
        leapfrog_steps: leapfrog steps of a move, at least 1.
        moves: moves at each inverse temperature, at least 1.

    Attributes:
        reference: as given.

    Raises:
        InvalidArgument: for a temperature or a number that is not positive.
    """

    def __init__(
        self,
        energy_and_score_fn: EnergyAndScore,
        reference: Reference,
        *,
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
        self._compiled_start: Any = tf.function(
            reference.sample, input_signature=[seeds], autograph=False
        )
        self._compiled_differences: Any = tf.function(
            self._differences, input_signature=[images], autograph=False
        )
        self._compiled_advance: Any = tf.function(
            self._advance, input_signature=[images, seeds, floats, floats, seeds], autograph=False
        )

    def sample_reference(self, seeds: np.ndarray) -> np.ndarray:
        """Samples the reference, float32 [B, H, W, C], for seeds [B], each in [0, 2^63)."""
        return self._compiled_start(np.asarray(seeds, np.int64)).numpy()

    def energy_differences(self, images: np.ndarray) -> np.ndarray:
        """Returns E_ref - E / T of images [B, H, W, C], float32 [B].

        Its mean under the density at beta is the derivative of log Z in beta.
        """
        return self._compiled_differences(images).numpy()

    def advance(
        self,
        images: np.ndarray,
        seeds: np.ndarray,
        *,
        betas: np.ndarray,
        step_sizes: np.ndarray,
        counters: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Moves every chain by HMC with a Metropolis test, at one beta after the other.

        Each chain's step size is multiplied by a random factor in [0.4, 1.2], which is sampled
        before the move. So leapfrog trajectories do not return to their starting point
        periodically (Neal, "MCMC using Hamiltonian dynamics", section 4.2). Given the factor, a
        move leaves the density at beta invariant, whatever the step size.

        Args:
            images: states of the chains, float32 [B, H, W, C].
            seeds: a seed for each chain, [B], each in [0, 2^63).
            betas: inverse temperatures in the order of the moves, in [0, 1], [n].
            step_sizes: epsilon at each of them, in pixel units, [n].
            counters: counters of the random numbers at each of them, in [0, 2^32), [n]. A chain
                must not use a counter twice.

        Returns:
            the states after all moves, float32 [B, H, W, C]; E_ref - E / T after the moves at
            each beta, float32 [B, n]; the fraction of accepted moves, float32 [B, n].
        """
        moved, differences, accepted = self._compiled_advance(
            images,
            np.asarray(seeds, np.int64),
            np.asarray(betas, np.float32),
            np.asarray(step_sizes, np.float32),
            np.asarray(counters, np.int64),
        )
        return moved.numpy(), differences.numpy(), accepted.numpy()

    def _differences(self, images: tf.Tensor) -> tf.Tensor:
        energy = self._energy_and_score_fn(images)[0]
        return self.reference.energy_and_score(images)[0] - energy / self._temperature

    def _advance(
        self,
        images: tf.Tensor,
        seeds: tf.Tensor,
        betas: tf.Tensor,
        step_sizes: tf.Tensor,
        counters: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The graph of `advance`."""
        num_betas, num_chains = tf.shape(betas)[0], tf.shape(images)[0]

        def body(i, images, differences, accepted):
            images, fraction = self._move(images, seeds, betas[i], step_sizes[i], counters[i])
            differences = differences.write(i, self._differences(images))
            return i + 1, images, differences, accepted.write(i, fraction)

        def stacked(array):
            return tf.transpose(tf.reshape(array.stack(), [num_betas, num_chains]))

        arrays = [tf.TensorArray(tf.float32, num_betas, element_shape=[None]) for _ in range(2)]
        _, images, differences, accepted = tf.while_loop(
            lambda i, *_: i < num_betas, body, (tf.constant(0), images, *arrays)
        )
        return images, stacked(differences), stacked(accepted)

    def _move(
        self,
        images: tf.Tensor,
        seeds: tf.Tensor,
        beta: tf.Tensor,
        step_size: tf.Tensor,
        counter: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The moves at one beta: images after them, and the fraction of accepted moves, [B]."""
        factors = 0.4 + 0.8 * randomness.uniform(
            seeds, (counter, _STEP_SIZE_COUNTER), "annealing", ()
        )

        def annealed_energy_and_score(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            energy, score = self._energy_and_score_fn(images)
            reference_energy, reference_score = self.reference.energy_and_score(images)
            weight, reference_weight = beta / self._temperature, 1 - beta
            return (
                weight * energy + reference_weight * reference_energy,
                weight * score + reference_weight * reference_score,
            )

        moved, _, accepted = hamiltonian_moves(
            annealed_energy_and_score,
            images,
            seeds,
            counter,
            stream="annealing",
            step_sizes=step_size * factors,
            leapfrog_steps=self._leapfrog_steps,
            moves=self._moves,
            is_allowed=self.reference.domain.contains,
        )
        return moved, accepted


def require_finite(differences: np.ndarray, betas: np.ndarray | list[float]) -> None:
    """Refuses energies that are not finite.

    Args:
        differences: E_ref - E / T of the chains at some inverse temperatures, [B, n].
        betas: these inverse temperatures, [n].

    Raises:
        RunError: with the first inverse temperature at which a number is not finite.
    """
    finite = np.isfinite(differences).all(axis=0)
    if not finite.all():
        raise RunError(
            f"at inverse temperature {betas[np.argmin(finite)]:.4g} the energy of a chain is not "
            "finite: it may not confine chains that leave the trained range"
        )
