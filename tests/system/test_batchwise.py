"""A function of arrays, batch by batch."""

import numpy as np
import pytest
import tensorflow as tf

from tf_mdsm.errors import InvalidArgument
from tf_mdsm.system.batchwise import batchwise


@pytest.mark.parametrize("batch_size", [1, 3, 5, 7, 20])
def test_results_are_those_of_all_rows_and_no_batch_is_larger(batch_size):
    one, other, sizes = np.arange(14.0).reshape(7, 2), np.arange(7), []

    def add(a, b):
        sizes.append((len(a), len(b)))
        return tf.constant(a + b[:, None], tf.float32)

    results = batchwise(add, one, other, batch_size=batch_size)
    assert results.dtype == np.float32
    np.testing.assert_array_equal(results, one + other[:, None])
    assert sum(a for a, _ in sizes) == 7
    assert max(sizes) <= (batch_size, batch_size)


def test_no_rows_are_refused():
    with pytest.raises(InvalidArgument, match="`arrays` must hold at least one row"):
        batchwise(abs, np.zeros((0, 2)), batch_size=4)
