"""Adam with PyTorch's epsilon, as in the paper's runs, and warm-up of the learning rate."""

# pyright: reportOperatorIssue=false, reportOptionalOperand=false
# (keras.ops is annotated as if it could return None.)

from typing import Any

import keras
from keras import ops

__all__ = ["Adam", "WarmUp"]

_Schedule = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable("tf_mdsm")
class WarmUp(_Schedule):
    """A learning rate that rises linearly over the first updates.

        rate(t) = min(1, (t + 1) / steps) * schedule(t)    at update t = 0, 1, …

    Without warm-up Adam's first updates are as long as its later ones, although its averages of
    the gradients are least reliable then. With short first updates, a network without
    normalization layers tolerates a larger learning rate (Goyal et al. 2017, section 2.2).

    Args:
        schedule: the learning rate without warm-up. It is evaluated at t from the start.
        steps: number of updates over which the rate rises, at least 1.
    """

    def __init__(self, schedule: _Schedule | float, steps: int):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step: Any) -> Any:
        """The learning rate at an update, 0 for the first."""
        rate = self.schedule(step) if callable(self.schedule) else self.schedule
        risen = (ops.cast(step, "float32") + 1) / self.steps
        return ops.minimum(risen, 1.0) * rate

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras saves them."""
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "steps": self.steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "WarmUp":
        """The learning rate that `get_config` describes."""
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["steps"])


@keras.saving.register_keras_serializable("tf_mdsm")
class Adam(keras.optimizers.Adam):
    """Adam, with epsilon outside the square root of the corrected second moment, as in PyTorch.

        w <- w - rate * m_hat / (sqrt(v_hat) + epsilon)

    This is the update of Kingma and Ba (2015, algorithm 1). Keras adds epsilon before the
    correction of the second moment, so that its effective epsilon is 1 / sqrt(1 - beta_2^t) times
    as large. In the first steps this changes the update of a deep network's weights, whose
    gradients are small.

    Args:
        learning_rate: step size, or a schedule of step sizes.
        beta_1: decay rate of the mean gradient.
        beta_2: decay rate of the mean squared gradient.
        epsilon: small number that is added to the root of the mean squared gradient.
    """

    def __init__(
        self,
        learning_rate: float | _Schedule = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ):
        keras_learning_rate: Any = learning_rate  # Keras annotates it as float only.
        super().__init__(keras_learning_rate, beta_1, beta_2, epsilon, name="adam")

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras saves them."""
        names = ("learning_rate", "beta_1", "beta_2", "epsilon")
        return {name: super(Adam, self).get_config()[name] for name in names}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one weight and its two moments; called by Keras."""
        step = ops.cast(self.iterations + 1, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        correction_1 = 1 - ops.power(ops.cast(self.beta_1, variable.dtype), step)
        correction_2 = 1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)
        index = self._get_variable_index(variable)
        mean, mean_square = self._momentums[index], self._velocities[index]
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(mean_square, (ops.square(gradient) - mean_square) * (1 - self.beta_2))
        root = ops.sqrt(mean_square / correction_2) + self.epsilon
        self.assign_sub(variable, rate * (mean / correction_1) / root)
