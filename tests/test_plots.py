"""Plots: pixels that show what they are given."""

import numpy as np
import pytest

from tf_mdsm.visualization import plots


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def assert_drawn(pixels):
    assert pixels.dtype == np.uint8
    assert pixels.shape[-1] == 3
    assert pixels.std() > 0


def colours(pixels):
    """How many colours that are not grey take more than a few pixels."""
    found, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return int(((np.ptp(found.astype(int), axis=1) > 40) & (counts > 100)).sum())


def test_energies_above_their_clock():
    cooling, falling = np.arange(9.0)[::-1], np.geomspace(3.0, 0.1, 9)
    for name, clock in (("temperature", cooling), ("noise level sigma", falling)):
        assert_drawn(plots.energy_trace(normal((9, 3)), name, clock))


def test_histograms_of_very_different_numbers():
    """Numbers that are all the same, far ones, and arrays of any shape."""
    one = plots.histograms({"one": normal(500)}, "x")
    two = plots.histograms({"one": normal(500), "two": normal((50, 10)) + 4}, "x")
    assert_drawn(one)
    assert colours(two) > colours(one) >= 1
    assert_drawn(plots.histograms({"same": np.ones(3)}, "x"))
    assert_drawn(plots.histograms({"near": normal(500), "far": np.array([1e12])}, "x"))


def test_curves_with_and_without_errors():
    x = np.geomspace(0.1, 3, 9)
    plain = plots.curves({"a": (x, x), "b": (x, 2 * x)}, "x", "y")
    banded = plots.curves({"a": (x, x), "b": (x, 2 * x, 0.5 * x)}, "x", "y")
    logarithmic = plots.curves({"a": (x, x), "b": (x, 2 * x)}, "x", "y", log_x=True, log_y=True)
    for pixels in (plain, banded, logarithmic):
        assert_drawn(pixels)
    assert colours(banded) > colours(plain) >= 2
    assert plain.shape == logarithmic.shape
    assert (plain != logarithmic).any()


def test_rows_of_images():
    """Pixels outside [0, 1] are clipped; a short row leaves white."""
    black, white = np.full((3, 8, 8, 1), -2.0), np.full((4, 8, 8, 1), 9.0)
    counts = [
        (plots.image_rows({"one": black[:count], "two": white}) == 0).sum() for count in (1, 2, 3)
    ]
    # What is black besides is the labels, always the same.
    assert np.diff(counts) == pytest.approx(counts[1] - counts[0], rel=0.1)
    assert counts[1] - counts[0] > 1_000
    red = np.broadcast_to([1.0, 0.0, 0.0], (3, 8, 8, 3))
    assert colours(plots.image_rows({"red": red})) == 1
