"""Hamiltonian moves of a batch: trajectories, the test, independence of the rows, and the graph."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm import randomness
from tf_mdsm.samplers.kernels import hamiltonian_moves

SHAPE = (2, 2, 1)
STREAM = "metropolis"


def quartic(x):
    return tf.reduce_sum(x * x * x * x, (1, 2, 3)) / 4, -x * x * x


def flat(x):
    """Every trajectory is a straight line, and every move is accepted."""
    return tf.zeros_like(x[:, 0, 0, 0]), tf.zeros_like(x)


def move(energy, images, seeds, step_sizes, *, counter=0, leapfrog_steps=1, **options):
    compiled = tf.function(
        lambda images, seeds, step_sizes, counter: hamiltonian_moves(
            energy,
            images,
            seeds,
            counter,
            stream=STREAM,
            step_sizes=step_sizes,
            leapfrog_steps=leapfrog_steps,
            **options,
        ),
        input_signature=[
            tf.TensorSpec([None, *SHAPE]),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([None]),
            tf.TensorSpec([], tf.int32),
        ],
        autograph=False,
    )
    step_sizes = tf.broadcast_to(tf.constant(step_sizes, tf.float32), [len(images)])
    arguments = (tf.constant(images, tf.float32), tf.constant(seeds, tf.int64), step_sizes)
    return [result.numpy() for result in compiled(*arguments, tf.constant(counter))]


def images_of(count, scale=1.0):
    return scale * np.random.default_rng(1).standard_normal((count, *SHAPE)).astype(np.float32)


def test_moves_are_leapfrog_trajectories_with_a_metropolis_test():
    """Written out in double precision, with each image's own step size, over two moves.

    The moments and the tests' numbers are those of the streams.
    """
    count, counter, moves = 200, 9, 2
    seeds, images = np.arange(count), images_of(count).astype(float)
    step_sizes = np.linspace(0.1, 1.6, count)[:, None, None, None]
    moved, energy, accepted = move(
        quartic,
        images,
        seeds,
        step_sizes.ravel(),
        counter=counter,
        leapfrog_steps=3,
        moves=moves,
    )
    np.testing.assert_allclose(energy, (images**4).sum((1, 2, 3)) / 4, rtol=1e-5)
    expected_accepted = np.zeros(count)
    for i in range(moves):
        initial = randomness.normal(seeds, (counter, 2 * i), STREAM, SHAPE).numpy().astype(float)
        uniform = randomness.uniform(seeds, (counter, 2 * i + 1), STREAM, ()).numpy()
        x, momentum = images, initial
        for _ in range(3):
            momentum = momentum - step_sizes / 2 * x**3
            x = x + step_sizes * momentum
            momentum = momentum - step_sizes / 2 * x**3
        before = (images**4 / 4 + initial**2 / 2).sum((1, 2, 3))
        after = (x**4 / 4 + momentum**2 / 2).sum((1, 2, 3))
        with np.errstate(over="ignore"):
            is_accepted = uniform < np.exp(before - after)
        expected_accepted += is_accepted / moves
        images = np.where(is_accepted[:, None, None, None], x, images)
    np.testing.assert_array_equal(accepted, expected_accepted)
    assert set(accepted) == {0, 0.5, 1}
    np.testing.assert_allclose(moved, images, rtol=1e-3, atol=1e-4)


def test_noise_is_independent_between_counters_and_moves():
    """On a flat energy all moves add up."""
    count, moves = 1_000, 3
    zeros = np.zeros((count, *SHAPE))
    walks = [
        move(flat, zeros, range(count), 1.0, counter=counter, moves=moves)[0]
        for counter in range(2)
    ]
    error = 5 / np.sqrt(2 * count * 4)
    for walk in walks:
        assert np.std(walk) == pytest.approx(np.sqrt(moves), rel=error)
    assert np.std(sum(walks)) == pytest.approx(np.sqrt(2 * moves), rel=error)


def test_an_image_does_not_depend_on_its_batch():
    """Bit for bit, alone too; step sizes stay with their images."""
    seeds, images, step_sizes = np.arange(7) + 2**40, images_of(7), np.linspace(0.3, 0.9, 7)
    options = {"leapfrog_steps": 3, "moves": 4}
    together = move(quartic, images, seeds, step_sizes, **options)
    for rows in ([0], [6, 2], [1, 3, 5]):
        alone = move(quartic, images[rows], seeds[rows], step_sizes[rows], **options)
        for values, expected in zip(alone, together, strict=True):
            np.testing.assert_array_equal(values, expected[rows])


def test_large_seeds_have_different_noise():
    """Seeds with the same lower 32 bits give different images."""
    moved, *_ = move(flat, np.zeros((3, *SHAPE)), [7, 7 + 2**32, 7 + 2**60], 1.0)
    assert len(np.unique(moved[:, 0, 0, 0])) == 3


def test_moves_that_end_outside_the_domain_are_rejected():
    """Those of a flat energy: the law is uniform in the box, and stays so up to its walls."""
    count = 1_000
    images = np.random.default_rng(0).uniform(size=(count, *SHAPE))
    moved, _, accepted = move(
        flat,
        images,
        range(count),
        0.4,
        moves=4,
        is_allowed=lambda x: tf.reduce_all((x >= 0) & (x <= 1), (1, 2, 3)),
    )
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert 0.1 < accepted.mean() < 0.9
    for power in (1, 2, 3):
        error = np.sqrt(1 / (2 * power + 1) / (4 * count))
        assert np.mean(moved**power) == pytest.approx(1 / (power + 1), abs=5 * error)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_energy_that_is_not_finite_is_never_accepted(value):
    """Also an infinitely low one; and states of such an energy do not move."""

    def broken(x):
        energy, score = flat(x)
        return tf.where(x[:, 0, 0, 0] > 0, tf.constant(value, tf.float32), energy), score

    moved, _, accepted = move(broken, -np.ones((200, *SHAPE)), range(200), 1.0)
    assert moved[:, 0, 0, 0].max() <= 0
    assert 0.5 < accepted.mean() < 1
    images = np.ones((5, *SHAPE))
    moved, energy, accepted = move(broken, images, range(5), 0.1)
    np.testing.assert_array_equal(moved, images)
    np.testing.assert_array_equal(energy, np.full(5, value))
    assert accepted.max() == 0


def graph_size(shape, moves, leapfrog_steps):
    """Operations of the graph and of the graphs that it calls, and its loops."""

    @tf.function(autograph=False)
    def compiled(images, seeds, step_sizes):
        return hamiltonian_moves(
            quartic,
            images,
            seeds,
            tf.constant(0),
            stream=STREAM,
            step_sizes=step_sizes,
            leapfrog_steps=leapfrog_steps,
            moves=moves,
        )

    graph = compiled.get_concrete_function(
        tf.TensorSpec([None, *shape]), tf.TensorSpec([None], tf.int64), tf.TensorSpec([None])
    ).graph.as_graph_def()
    bodies = [list(graph.node), *(list(body.node_def) for body in graph.library.function)]
    names = [node.op for body in bodies for node in body]
    return len(names), sum(name in ("While", "StatelessWhile") for name in names)


def test_the_graph_grows_neither_with_the_images_nor_with_the_moves():
    """Two loops: over the moves, and over the leapfrog steps; none over images or pixels."""
    expected = graph_size(SHAPE, 1, 1)
    assert expected[1] == 2
    assert graph_size((64, 64, 3), 10, 5) == graph_size((8, 8, 1), 1, 1) == expected
