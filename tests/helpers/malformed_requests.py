"""Requests that an exported model must refuse, each followed by one that it must answer."""

import collections

import numpy as np
import pytest

from tests.helpers.served_inputs import SHAPE
from tests.helpers.served_model import Model, Refusal

SIDE, LIMIT = SHAPE[0], 64
INPUTS = {
    "sample": ("seed",),
    "energy": ("images",),
    "score": ("images",),
    "denoise": ("images",),
    "noise_level": ("images",),
    "inpaint": ("images", "mask", "seed"),
}


def valid_inputs(generator, names, count: int) -> dict[str, np.ndarray]:
    inputs = {
        "seed": generator.integers(2**62, size=count),
        "images": generator.uniform(size=(count, *SHAPE)).astype(np.float32),
        "mask": generator.integers(2, size=(count, *SHAPE)).astype(np.float32),
    }
    return {name: inputs[name] for name in names}


def wrong_shape(generator, name, array):
    shapes = [(), (0,), (1, 2), (2, SIDE, SIDE), (2, SIDE, SIDE + 1, 1), (2, SIDE, SIDE, 3)]
    shapes += [(2, *SHAPE, 1), (0, *SHAPE), (2, SIDE, 0, 1), (1, 1, 1, 1), (2, SIDE * SIDE)]
    return np.zeros(shapes[generator.integers(len(shapes))], array.dtype)


def wrong_type(generator, name, array):
    kinds = [np.float64, np.int32, np.uint8, np.bool_, np.complex64, np.str_, np.float16]
    with np.errstate(over="ignore"):  # A seed is larger than the largest float16.
        return array.astype(kinds[generator.integers(len(kinds))])


def too_many_rows(generator, name, array):
    count = int(generator.choice([LIMIT + 1, 1_000, 20_000]))
    return np.repeat(array[:1], count, axis=0)


def no_rows(generator, name, array):
    return array[:0]


def wrong_values(generator, name, array):
    values = {
        "seed": [-1, -(2**63), 2**62 + 1, 2**63 - 1],
        "images": [np.nan, np.inf, -np.inf],
        "mask": [0.5, -1.0, 2.0, np.nan, np.inf, 1e-9],
    }[name]
    array = array.copy()
    index = tuple(generator.integers(size) for size in array.shape)
    array[index] = values[generator.integers(len(values))]
    return array


def one_row_more(generator, name, array):
    return np.concatenate([array, array[:1]])


CORRUPTIONS = (wrong_shape, wrong_type, too_many_rows, no_rows, wrong_values, one_row_more)


def malformed(generator) -> tuple[str, str, dict[str, np.ndarray]]:
    """The kind of error, a signature's name, and its inputs, of which one is invalid."""
    corrupt = CORRUPTIONS[generator.integers(len(CORRUPTIONS))]
    # A signature of one input accepts one row more.
    names = [name for name in INPUTS if corrupt is not one_row_more or len(INPUTS[name]) > 1]
    name = names[generator.integers(len(names))]
    inputs = valid_inputs(generator, INPUTS[name], int(generator.integers(1, 5)))
    victim = INPUTS[name][generator.integers(len(inputs))]
    return corrupt.__name__, name, {**inputs, victim: corrupt(generator, victim, inputs[victim])}


def assert_refused_and_answered(model: Model, count: int, after_each=lambda: None) -> list:
    """Sends so many malformed requests, each followed by a valid one, which is answered as before.

    Returns:
        what `after_each` returned after each of them.
    """
    generator = np.random.default_rng(0)
    valid = {name: valid_inputs(generator, names, 3) for name, names in INPUTS.items()}
    expected = {name: model.run(name, inputs) for name, inputs in valid.items()}
    kinds, returned = collections.Counter(), []
    for number in range(count):
        kind, name, inputs = malformed(generator)
        request = kind, name, {key: (a.dtype, a.shape) for key, a in inputs.items()}
        with pytest.raises(Refusal) as caught:
            raise AssertionError(f"{request} was answered: {model.run(name, inputs)}")
        assert caught.value.code.name == "INVALID_ARGUMENT", request
        assert len(caught.value.message) > 10, request
        kinds[kind] += 1
        next_name = list(INPUTS)[number % len(INPUTS)]
        for output, value in model.run(next_name, valid[next_name]).items():
            np.testing.assert_array_equal(value, expected[next_name][output], err_msg=str(request))
        returned.append(after_each())
    assert set(kinds) == {corrupt.__name__ for corrupt in CORRUPTIONS}
    return returned
