"""Noise levels: their grid, their weights, and which image of a batch gets which."""

import dataclasses
from statistics import NormalDist

import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument

__all__ = ["NoiseLevels", "assign_levels"]


@dataclasses.dataclass(frozen=True)
class NoiseLevels:
    """The noise levels sigma_1 … sigma_K and how the loss weighs them.

    With the weightings "inverse_square" (paper), "constant" and "edm", the energy that minimises
    the loss is a blend over the levels: sigma0^2 dE/dx is the step to the denoised image, and
    exp(-E) is not exactly any smoothed density p_k. With "score", the regression of the score
    itself with weight sigma^2, the score -dE/dx that minimises it over all vector fields is
    sum_k sigma_k^2 grad p_k / sum_k sigma_k^2 p_k: exactly the gradient of the log of a
    density, the p_k mixed in proportion to sigma_k^2.

    Args:
        sigma_min: smallest level, in pixel units (images lie in [0, 1]).
        sigma_max: largest level.
        num_levels: K. It need not be the batch size.
        spacing: "linear", "geometric", or "log_normal": quantiles of a log-normal law between the
            two ends, K of equal probability (EDM draws levels by such a law: Karras et al. 2022,
            section 5).
        sigma0: the fixed width sigma_0 of the kernel in the residual.
        weighting: "inverse_square", "constant", "score" or "edm": 1/sigma^2 + 1/sigma_data^2,
            EDM's lambda(sigma), which counts large levels for more.
        median: of the log-normal law, between the ends.
        log_std: standard deviation of the logarithm under that law.
        sigma_data: standard deviation of the images' pixels, for "edm".

    Raises:
        InvalidArgument: for an unknown spacing or weighting, or a grid that is none.
    """

    sigma_min: float = 0.05
    sigma_max: float = 1.2
    num_levels: int = 128
    spacing: str = "linear"
    sigma0: float = 0.1
    weighting: str = "inverse_square"
    median: float = 0.5
    log_std: float = 1.2
    sigma_data: float = 0.25

    def __post_init__(self) -> None:
        for field, choices in (("spacing", _SPACINGS), ("weighting", _WEIGHTINGS)):
            value = getattr(self, field)
            if value not in choices:
                raise InvalidArgument(field, f"be one of {', '.join(choices)}", value)
        if not 0 < self.sigma_min <= self.sigma_max < np.inf:
            raise InvalidArgument("sigma_min", "lie in (0, sigma_max]", self.sigma_min)
        if self.num_levels < 1:
            raise InvalidArgument("num_levels", "be positive", self.num_levels)
        if self.spacing == "log_normal" and not self.sigma_min <= self.median <= self.sigma_max:
            raise InvalidArgument("median", "lie in [sigma_min, sigma_max]", self.median)
        for field in ("sigma0", "median", "log_std", "sigma_data"):
            if not 0 < getattr(self, field) < np.inf:
                raise InvalidArgument(field, "be positive", getattr(self, field))

    @property
    def sigmas(self) -> np.ndarray:
        """All levels, ascending: float32 [K]."""
        return _SPACINGS[self.spacing](self).astype(np.float32)

    def kernel_variance_and_weight(self, sigma: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The two factors of the loss l ||x - x_noisy + kernel_variance dE/dx||^2.

        Args:
            sigma: noise level of each image, [B].

        Returns:
            kernel variance [B] (sigma_0^2, or sigma^2 for "score") and weight l(sigma) [B].
        """
        fixed = tf.constant(self.sigma0, sigma.dtype) ** 2 * tf.ones_like(sigma)
        return _WEIGHTINGS[self.weighting](self, sigma, fixed)


def _log_normal(levels: NoiseLevels) -> np.ndarray:
    law = NormalDist(np.log(levels.median), levels.log_std)
    ends = (law.cdf(np.log(end)) for end in (levels.sigma_min, levels.sigma_max))
    inner = [law.inv_cdf(share) for share in np.linspace(*ends, levels.num_levels)[1:-1]]
    # The ends themselves, where the law's own tails would round.
    first, last = levels.sigma_min, levels.sigma_max
    return np.array([first, *np.exp(inner), last][: levels.num_levels])


_SPACINGS = {
    "linear": lambda g: np.linspace(g.sigma_min, g.sigma_max, g.num_levels),
    "geometric": lambda g: np.geomspace(g.sigma_min, g.sigma_max, g.num_levels),
    "log_normal": _log_normal,
}

_WEIGHTINGS = {
    "inverse_square": lambda _, sigma, fixed: (fixed, sigma**-2),
    "constant": lambda _, sigma, fixed: (fixed, tf.ones_like(sigma)),
    "score": lambda _, sigma, fixed: (sigma**2, sigma**-2),
    "edm": lambda grid, sigma, fixed: (fixed, sigma**-2 + grid.sigma_data**-2),
}


def assign_levels(
    place: tf.Tensor, batch_size: tf.Tensor, num_levels: int, seed: tf.Tensor, step: tf.Tensor
) -> tf.Tensor:
    """The noise level of each place of the global batch, spread evenly over the grid.

    Systematic sampling: place k gets level floor((k K + u) / B) with one integer u, uniform
    in [0, K), a step. So a batch of K places has each level once (as the paper), a batch of
    2 K each twice, a smaller batch one level out of each stretch of the grid, and every level
    is drawn equally often in the long run.

    Args:
        place: integer places within the global batch, [b].
        batch_size: size B of the global batch.
        num_levels: size K of the grid.
        seed: the run's seed, int64 scalar.
        step: number of the update, int64 scalar.

    Returns:
        indices into the grid, int64 [b].
    """
    offset = randomness.integers(seed[None], (step, 0), "levels", 1)[0, 0] % num_levels
    return (tf.cast(place, tf.int64) * num_levels + offset) // tf.cast(batch_size, tf.int64)
