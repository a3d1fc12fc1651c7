"""The compiled loop: one call runs many steps and returns the means after each of them."""

import numpy as np
import tensorflow as tf

from tf_mdsm.training.compiled_loop import compile_steps


class Counter:
    """A model that adds up its batches; counts how often its step is traced."""

    def __init__(self):
        self.distribute_strategy = tf.distribute.get_strategy()
        self.total = tf.Variable(0.0)
        self.num_traces = 0

    def train_step(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        self.num_traces += 1
        return {"loss": self.total.assign_add(batch), "gradient_norm": -batch}


def test_each_step_takes_the_next_batch():
    model = Counter()
    run_steps = compile_steps(model)
    batches = iter(tf.data.Dataset.range(1, 100).map(lambda number: tf.cast(number, tf.float32)))
    history = run_steps(batches, tf.constant(4))
    np.testing.assert_array_equal(history, [[1, -1], [3, -2], [6, -3], [10, -4]])
    history = run_steps(batches, tf.constant(2))
    np.testing.assert_array_equal(history, [[15, -5], [21, -6]])
    assert run_steps(batches, tf.constant(0)).shape == (0, 2)
    assert float(next(batches)) == 7


def test_the_step_is_traced_once():
    """Calls of any number of steps share one graph, or each would cost seconds."""
    model = Counter()
    run_steps = compile_steps(model)
    batches = iter(tf.data.Dataset.from_tensors(1.0).repeat())
    for count in (1, 5, 2):
        run_steps(batches, tf.constant(count))
    assert float(model.total) == 8
    assert model.num_traces == 1
