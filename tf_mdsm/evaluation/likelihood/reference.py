"""References of annealed importance sampling: known densities on a domain, with exact samples."""

import abc
from typing import Any, Protocol

import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.evaluation.likelihood.bounds import LogMass, estimate_log_mass
from tf_mdsm.evaluation.likelihood.domain import Domain
from tf_mdsm.system.seeds import MAX_SEED

__all__ = ["Reference", "require_mass"]

# Draws by which a reference's mass in the domain is estimated, and draws at a time.
_MASS_DRAWS, _MASS_BATCH = 16_384, 512

# Seeds of these draws, above those of all chains.
_FIRST_MASS_SEED = MAX_SEED + 2**61 + 2**60

# The smallest share of draws inside the domain at which a reference is of use.
_MIN_SHARE = 0.01


class DrawnStart(Protocol):
    """A start whose images can be drawn again and again from one seed."""

    def noisy_images(
        self, seeds: tf.Tensor, image_shape: tuple[int, ...], draw: tf.Tensor | int = 0
    ) -> tf.Tensor:
        """Images [B, H, W, C]; each `draw` has noise of its own."""
        ...


class Reference(abc.ABC):
    """A density q that is known on all of R^d, truncated to a domain D.

    The energy is -log q. So on the domain its partition function is the mass m = q(D), and q / m
    is the density of its samples. Weights of annealed chains from there have the mean Z / m, where
    Z is the integral of exp(-E / T) over D: log Z = log m + log E[weight]. The share of draws
    inside estimates m, and the confidence interval of log m widens the bounds of log Z.

    Args:
        start: where samples come from, before the truncation.
        image_shape: (H, W, C).
        smallest_std: standard deviation along the narrowest direction, in pixel units.
        domain: the box to which q is truncated.

    Attributes:
        domain: as given.
        log_mass: log m, the logarithm of the probability of the domain under q.
        image_shape: as given.
        smallest_std: as given.

    Raises:
        InvalidArgument: if less than 1 % of the draws would lie in the domain.
    """

    def __init__(
        self, start: DrawnStart, image_shape: tuple[int, ...], smallest_std: float, domain: Domain
    ):
        self._start, self.image_shape, self.smallest_std = start, tuple(image_shape), smallest_std
        self.domain = domain
        self.log_mass = self._mass()

    @abc.abstractmethod
    def energy_and_score(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns -log q [B] and its score [B, H, W, C] of images [B, H, W, C]."""

    def sample(self, seeds: tf.Tensor) -> tf.Tensor:
        """Exact samples, inside the domain, float32 [B, H, W, C], for seeds, int64 [B], each >= 0.

        Draws outside are refused.
        """

        def draw(number, images, is_inside):
            drawn = self._start.noisy_images(seeds, self.image_shape, number)
            images = tf.where(is_inside, images, drawn)
            return number + 1, images, self._keeps(images)

        nothing: Any = tf.zeros([tf.shape(seeds)[0], *self.image_shape])
        state = draw(tf.constant(0), nothing, tf.zeros_like(nothing, tf.bool))
        return tf.while_loop(lambda _, __, kept: ~tf.reduce_all(kept), draw, state)[1]

    def _keeps(self, images: tf.Tensor) -> tf.Tensor:
        """Which pixels of draws are kept, bool [B, H, W, C] or of a shape that fits it."""
        return self.domain.contains(images)[:, None, None, None]

    def _mass(self) -> LogMass:
        """The mass in the domain, from draws whose seeds no chain has."""
        inside = 0
        for first in range(0, _MASS_DRAWS, _MASS_BATCH):
            seeds = tf.range(first, first + _MASS_BATCH, dtype=tf.int64) + _FIRST_MASS_SEED
            drawn = self._start.noisy_images(seeds, self.image_shape)
            inside += int(tf.math.count_nonzero(self.domain.contains(drawn)))
        require_mass(inside / _MASS_DRAWS)
        return estimate_log_mass(inside, _MASS_DRAWS)


def require_mass(share: float) -> None:
    """Refuses a domain with less than 1 % of a reference's mass.

    Raises:
        InvalidArgument: about the settings of the domain.
    """
    if not share >= _MIN_SHARE:
        requirement = "be so wide that it holds 1 % of the reference, or reference_sigma smaller"
        raise InvalidArgument("domain_margin", requirement, f"{100 * share:.2g} % inside")
