"""Lowering: programs of functions whose values, gradients and updates are known."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers.small_runs import ROOT
from tf_mdsm.errors import InvalidArgument
from tf_mdsm.randomness import integers, normal
from tf_mdsm.serving.stablehlo_lowering import lower
from tf_mdsm.serving.stablehlo_model import StableHloProgram, processor

X = np.random.default_rng(0).normal(size=(3, 200)).astype(np.float32)


def spec(array):
    return tf.TensorSpec(array.shape, array.dtype)


def run(lowered, **arrays):
    """A lowered function's outputs, computed without TensorFlow."""
    program = StableHloProgram.compile(
        lowered.artifact,
        inputs=lowered.inputs,
        outputs=lowered.outputs,
        constants=lowered.constants,
        device=processor(),
    )
    return {name: np.asarray(array) for name, array in program(arrays).items()}


def test_a_gradient_with_respect_to_images_and_weights():
    """Of sum(w x²): 2 w x and x²; the weight is an input, and its value can be another."""
    weight = tf.Variable(3.0)

    def gradients(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(weight * x**2)
        by_x, by_weight = tape.gradient(y, [x, weight])
        return {"by_x": by_x, "a_weight": by_weight}

    lowered = lower(gradients, {"x": spec(X)}, {"w": weight})
    assert lowered.inputs == ("x", "w")
    assert lowered.outputs == ("a_weight", "by_x")
    assert not lowered.constants
    for value in (3.0, -0.5):
        found = run(lowered, x=X, w=np.float32(value))
        np.testing.assert_allclose(found["by_x"], 2 * value * X, rtol=1e-6)
        np.testing.assert_allclose(found["a_weight"], (X**2).sum(), rtol=X.size * 1e-7)


def test_updated_variables_become_outputs():
    count, unused = tf.Variable(5, dtype=tf.int64), tf.Variable(1.0)

    def step(x):
        count.assign_add(2)
        return {"y": x + tf.cast(count, tf.float32)}

    weights = {"unused": unused, "count": count}
    lowered = lower(step, {"x": spec(X)}, weights, updates=["count"])
    assert lowered.inputs == ("x", "count")
    found = run(lowered, x=X, count=np.int64(2**40))
    np.testing.assert_array_equal(found["count"], 2**40 + 2)
    np.testing.assert_array_equal(found["y"], X + np.float32(2**40 + 2))
    assert count.numpy() == 5


@pytest.mark.parametrize("kind", [tf.constant, tf.Variable])
def test_held_tensors_become_named_inputs(kind):
    """They are not written into the program."""
    held = kind(X)
    lowered = lower(lambda x: {"y": x * held}, {"x": spec(X)}, {})
    assert lowered.inputs == ("x", "constant/0")
    np.testing.assert_array_equal(lowered.constants["constant/0"], X)
    np.testing.assert_array_equal(run(lowered, x=X)["y"], X * X)
    assert len(lowered.artifact) < X.nbytes


SEEDS = np.array([0, 1, 2**53 + 1, 2**62], np.int64)


def test_random_bits_are_the_same_everywhere():
    """Integers bit for bit; normal numbers to the last bits of another logarithm and cosine."""

    def noise(seed):
        counter = (tf.constant(7, tf.int64), tf.constant(2**31, tf.int64))
        return {
            "bits": integers(seed, counter, "langevin", 200),
            "normal": normal(seed, counter, "langevin", [200]),
        }

    expected = noise(tf.constant(SEEDS))
    found = run(lower(noise, {"seed": spec(SEEDS)}, {}), seed=SEEDS)
    np.testing.assert_array_equal(found["bits"], expected["bits"])
    np.testing.assert_allclose(found["normal"], expected["normal"], rtol=1e-5, atol=1e-6)


def test_loops_are_lowered():
    """Newton's method for the square root."""

    def root(x):
        step = lambda i, y: (i + 1, (y + x / y) / 2)  # noqa: E731
        return {"root": tf.while_loop(lambda i, _: i < 20, step, (0, tf.ones_like(x)))[1]}

    found = run(lower(root, {"x": spec(X)}, {}), x=X**2 + 0.01)
    np.testing.assert_allclose(found["root"], np.sqrt(X**2 + 0.01), rtol=1e-6)


def test_the_program_names_no_file_of_this_machine():
    lowered = lower(lambda x: {"y": tf.exp(x)}, {"x": spec(X)}, {})
    assert str(ROOT).encode() not in lowered.artifact
    assert b"site-packages" not in lowered.artifact
    assert b"mhlo" not in lowered.artifact


def test_an_argument_that_the_compiler_must_know_is_refused():
    """It would become part of the program, and the other inputs would move up."""

    def scaled(x, place):
        return {"y": x * tf.constant([1.0, 2.0, 3.0])[place]}

    arguments = {"x": spec(X), "place": tf.TensorSpec([], tf.int32)}
    with pytest.raises(ValueError, match="must know the values of 1 input"):
        lower(scaled, arguments, {})


def test_an_operation_that_xla_does_not_know_is_refused():
    def text(x):
        return {"y": tf.strings.to_number(tf.strings.as_string(x))}

    with pytest.raises(ValueError, match="AsString"):
        lower(text, {"x": spec(X)}, {})


def test_without_jaxlib_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jaxlib", None)
    with pytest.raises(InvalidArgument, match=r"`config.export.format` .* pip install"):
        lower(lambda x: {"y": x}, {"x": spec(X)}, {})
