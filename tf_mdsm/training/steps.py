"""Many training steps in one compiled call."""

from collections.abc import Callable

import tensorflow as tf

from tf_mdsm.energy_model import EnergyModel

__all__ = ["compile_steps"]


def compile_steps(model: EnergyModel) -> Callable:
    """A function of an iterator and a number of steps: running means of loss and gradient
    norm after each step, float32 [steps, 2]."""
    strategy = model.distribute_strategy

    # No autograph anywhere: it reads source files when it traces, which in a long run may be
    # long after they were edited.
    @tf.function(autograph=False)
    def run_steps(iterator, count):
        def step(i, history):
            logs = strategy.run(model.train_step, args=(next(iterator),))
            # The same on every replica.
            means = [
                strategy.experimental_local_results(logs[name])[0]
                for name in ("loss", "gradient_norm")
            ]
            return i + 1, history.write(i, tf.stack(means))

        history = tf.TensorArray(tf.float32, count)
        _, history = tf.while_loop(lambda i, _: i < count, step, (tf.constant(0), history))
        return history.stack()

    return run_steps
