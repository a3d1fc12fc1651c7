"""A compiled annealing path that the tests of likelihood share."""

import numpy as np
import pytest

from tests.helpers.annealing import SHAPES, TEMPERATURE, annealing_path, gaussian


@pytest.fixture(scope="session")
def warm_path():
    """From N(0, I) to 0.3 + 0.5 sqrt(2) N(0, I), as exp(-E / T) with T = 2; two moves at a time."""
    path = annealing_path(gaussian, 4, temperature=TEMPERATURE, moves=2)
    images = np.zeros((2, *SHAPES[4]), np.float32)
    # The first call compiles.
    path.advance(images, [0, 1], betas=[1], step_sizes=[0.1], counters=[0])
    return path
