"""Adam as PyTorch computes it, which the paper's runs used, and a rise of its learning rate."""

import keras
from keras import ops

__all__ = ["Adam", "WarmUp"]

_Schedule = keras.optimizers.schedules.LearningRateSchedule


@keras.saving.register_keras_serializable("tf_mdsm")
class WarmUp(_Schedule):
    """A learning rate that rises linearly over the first updates.

        rate(t) = min(1, (t + 1) / steps) * schedule(t)    at update t = 0, 1, …

    Adam's first steps are as long as the later ones, when its averages know least. With them
    short, a network without normalisation layers bears a larger rate (Goyal et al. 2017,
    section 2.2).

    Args:
        schedule: of the rate without the rise; it goes on underneath.
        steps: updates of the rise, at least 1.
    """

    def __init__(self, schedule: _Schedule | float, steps: int):
        self.schedule, self.steps = schedule, steps

    def __call__(self, step):
        rate = self.schedule(step) if callable(self.schedule) else self.schedule
        share = (ops.cast(step, "float32") + 1) / self.steps
        return ops.minimum(share, 1.0) * rate

    def get_config(self) -> dict:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "steps": self.steps,
        }

    @classmethod
    def from_config(cls, config: dict) -> "WarmUp":
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["steps"])


class Adam(keras.optimizers.Adam):
    """Keras' Adam with epsilon added to the corrected second moment's root.

        w <- w - rate * m_hat / (sqrt(v_hat) + epsilon)

    as Kingma and Ba (2015, algorithm 1) and PyTorch have it. Keras adds epsilon before the
    correction, which makes it 1 / sqrt(1 - beta_2^t) times as large in effect: over the first
    steps this moves the weights of a deep network, whose gradients are small, another way.
    """

    def __init__(
        self,
        learning_rate: float | _Schedule = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, name="adam")

    def get_config(self) -> dict:
        names = ("learning_rate", "beta_1", "beta_2", "epsilon")
        return {name: super(Adam, self).get_config()[name] for name in names}

    def update_step(self, gradient, variable, learning_rate):
        step = ops.cast(self.iterations + 1, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        gradient = ops.cast(gradient, variable.dtype)
        correction_1 = 1 - ops.power(ops.cast(self.beta_1, variable.dtype), step)
        correction_2 = 1 - ops.power(ops.cast(self.beta_2, variable.dtype), step)
        index = self._get_variable_index(variable)
        mean, square = self._momentums[index], self._velocities[index]
        self.assign_add(mean, (gradient - mean) * (1 - self.beta_1))
        self.assign_add(square, (ops.square(gradient) - square) * (1 - self.beta_2))
        root = ops.sqrt(square / correction_2) + self.epsilon
        self.assign_sub(variable, rate * (mean / correction_1) / root)
