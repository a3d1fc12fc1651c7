"""Noise levels sigma_1 … sigma_K: their spacing, and which image of a batch gets which level."""

import dataclasses
import numbers
from statistics import NormalDist
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.weightings import WEIGHTINGS

__all__ = ["NoiseLevels", "assign_levels"]


@keras.saving.register_keras_serializable("tf_mdsm")
@dataclasses.dataclass(frozen=True)
class NoiseLevels:
    """The noise levels sigma_1 … sigma_K, the kernel width sigma_0, and the loss' weighting.

    What the energy learns depends on the weighting. Let p_k be the density of the images under
    noise of level sigma_k.

    - With "inverse_square" (the paper), "constant" and "edm", the energy that minimizes the loss
      is a blend over the levels: x - sigma0^2 dE/dx is the denoised image, and exp(-E) is not
      exactly any one of the densities p_k.
    - With "score", the loss is the regression of the score itself with weight sigma^2. The score
      -dE/dx that minimizes it over all vector fields is
      sum_k sigma_k^2 grad p_k / sum_k sigma_k^2 p_k. This is exactly the gradient of the
      logarithm of a density: the mixture of the p_k in proportion to sigma_k^2.

    Args:
        sigma_min: smallest level, in pixel units (images lie in [0, 1]).
        sigma_max: largest level, in pixel units.
        num_levels: number K of the levels. It may differ from the batch size. One level stands for
            equal ends only.
        spacing: how the levels lie between the two ends: "linear", "geometric" or "log_normal".
            "log_normal" places K quantiles of a log-normal distribution between the two ends,
            with equal probability between neighbors. EDM samples its levels from such a
            distribution (Karras et al. 2022, section 5).
        sigma0: the fixed width of the kernel in the residual, in pixel units.
        weighting: l(sigma) of the loss: "inverse_square", "constant", "score" or "edm"
            (equations: `losses.loss_weights` and `losses.kernel_variances`).
        median: median of the log-normal distribution; it lies between the two ends.
        log_std: standard deviation of the logarithm of a level under that distribution.
        sigma_data: standard deviation of the images' pixels, for the weighting "edm".

    Raises:
        InvalidArgument: for an unknown spacing or weighting, or a value outside its range.
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
        for field in ("sigma_min", "sigma_max", "sigma0", "median", "log_std", "sigma_data"):
            object.__setattr__(self, field, _plain_float(field, getattr(self, field)))
        if not isinstance(self.num_levels, numbers.Integral) or self.num_levels < 1:
            requirement = "be a whole number of at least 1"
            raise InvalidArgument("num_levels", requirement, repr(self.num_levels))
        object.__setattr__(self, "num_levels", int(self.num_levels))
        for field, choices in (("spacing", _SPACINGS), ("weighting", WEIGHTINGS)):
            value = getattr(self, field)
            if value not in choices:
                raise InvalidArgument(field, f"be one of {', '.join(choices)}", value)
        if not 0 < self.sigma_min <= self.sigma_max < np.inf:
            raise InvalidArgument("sigma_min", "lie in (0, sigma_max]", self.sigma_min)
        if self.num_levels == 1 and self.sigma_min < self.sigma_max:
            requirement = "exceed 1 unless sigma_min equals sigma_max"
            raise InvalidArgument("num_levels", requirement, self.num_levels)
        if self.spacing == "log_normal" and not self.sigma_min <= self.median <= self.sigma_max:
            raise InvalidArgument("median", "lie in [sigma_min, sigma_max]", self.median)
        for field in ("sigma0", "median", "log_std", "sigma_data"):
            if not 0 < getattr(self, field) < np.inf:
                raise InvalidArgument(field, "be positive", getattr(self, field))

    @property
    def sigmas(self) -> np.ndarray:
        """All levels in ascending order, float32 [K]."""
        return _SPACINGS[self.spacing](self).astype(np.float32)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as Keras saves them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NoiseLevels":
        """The noise levels that `get_config` describes."""
        return cls(**config)


def _plain_float(field: str, value: Any) -> float:
    """A number of Python, NumPy or TensorFlow as Python's float, which a `.keras` file can hold."""
    array = np.asarray(value)
    if array.ndim or array.dtype.kind not in "iuf":
        raise InvalidArgument(field, "be a number", repr(value))
    return float(array)


def _linear(levels: NoiseLevels) -> np.ndarray:
    return np.linspace(levels.sigma_min, levels.sigma_max, levels.num_levels)


def _geometric(levels: NoiseLevels) -> np.ndarray:
    return np.geomspace(levels.sigma_min, levels.sigma_max, levels.num_levels)


def _log_normal(levels: NoiseLevels) -> np.ndarray:
    distribution = NormalDist(np.log(levels.median), levels.log_std)
    first_probability = distribution.cdf(np.log(levels.sigma_min))
    last_probability = distribution.cdf(np.log(levels.sigma_max))
    probabilities = np.linspace(first_probability, last_probability, levels.num_levels)
    inner = np.exp([distribution.inv_cdf(probability) for probability in probabilities[1:-1]])
    # The ends are used as given: far in the distribution's tails their quantiles would be rounded.
    return np.array([levels.sigma_min, *inner, levels.sigma_max][: levels.num_levels])


_SPACINGS = {"linear": _linear, "geometric": _geometric, "log_normal": _log_normal}


def assign_levels(
    place: tf.Tensor,
    batch_size: tf.Tensor | int,
    num_levels: int,
    *,
    seed: tf.Tensor,
    step: tf.Tensor,
) -> tf.Tensor:
    """Index of the noise level of each image of a batch; every batch covers all levels evenly.

    This is systematic sampling: the image at place i gets index floor((i K + u) / B), where the
    integer u is uniform in [0, K) and is sampled once per step.
    A batch of B = K images has each level once, as in the paper. A batch of 2 K images has each
    level twice. A smaller batch has one level out of each stretch of K / B levels.
    Over many steps every level is used equally often.

    Args:
        place: places of the images in the global batch, integers [b] in [0, B).
        batch_size: size B of the global batch.
        num_levels: number K of the levels.
        seed: the run's seed, int64 scalar.
        step: index of the training step, int64 scalar.

    Returns:
        indices of levels, int64 [b], in [0, K).
    """
    random: Any = randomness.integers(seed[None], (step, 0), "levels", 1)[0, 0]
    offset = random % num_levels
    return (tf.cast(place, tf.int64) * num_levels + offset) // tf.cast(batch_size, tf.int64)
