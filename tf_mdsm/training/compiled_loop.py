"""The compiled inner loop of training: one call runs many training steps on the device."""

from collections.abc import Callable, Iterator

import tensorflow as tf

from tf_mdsm.energy_model import EnergyModel

__all__ = ["compile_steps"]


def compile_steps(model: EnergyModel) -> Callable[[Iterator, tf.Tensor], tf.Tensor]:
    """Compiles a loop over `model.train_step` under the model's distribution strategy.

    Args:
        model: a compiled model.

    Returns:
        a function of an iterator over batches and a number of steps, int32 scalar. It trains for
        that many steps. It returns loss and gradient norm after each step, float32 [steps, 2]:
        means over all steps since the model's metrics were reset.
    """
    strategy = model.distribute_strategy

    # No function of this program uses autograph: autograph reads source files when a function is
    # traced, which in a long run may happen long after the files were edited.
    @tf.function(autograph=False)
    def run_steps(batches, num_steps):
        def step(i, history):
            logs = strategy.run(model.train_step, args=(next(batches),))
            # The logs are the same on every replica.
            means = [
                strategy.experimental_local_results(logs[name])[0]
                for name in ("loss", "gradient_norm")
            ]
            return i + 1, history.write(i, tf.stack(means))

        history = tf.TensorArray(tf.float32, num_steps)
        _, history = tf.while_loop(lambda i, _: i < num_steps, step, (tf.constant(0), history))
        return history.stack()

    return run_steps
