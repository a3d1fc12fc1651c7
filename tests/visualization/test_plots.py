"""Plots of arrays: the pictures show what they are given."""

import numpy as np
import pytest

from tf_mdsm.visualization import plots


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def assert_picture(pixels):
    assert pixels.dtype == np.uint8
    assert pixels.shape[-1] == 3
    assert pixels.std() > 0


def num_colors(pixels):
    """Number of colors, apart from grays, that more than a few pixels have."""
    colors, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return int(((np.ptp(colors.astype(int), axis=1) > 40) & (counts > 100)).sum())


def test_energies_with_schedules_that_reach_zero_or_not():
    temperatures, sigmas = np.arange(9.0)[::-1], np.geomspace(3.0, 0.1, 9)
    for name, schedule in (("temperature", temperatures), ("noise level sigma", sigmas)):
        assert_picture(plots.energy_trace(normal((9, 3)), name, schedule))


def test_histograms_of_very_different_numbers():
    """Equal numbers, distant numbers, and arrays of several shapes."""
    one = plots.histograms({"one": normal(500)}, "x")
    two = plots.histograms({"one": normal(500), "two": normal((50, 10)) + 4}, "x")
    assert_picture(one)
    assert num_colors(two) > num_colors(one) >= 1
    assert_picture(plots.histograms({"same": np.ones(3)}, "x"))
    assert_picture(plots.histograms({"near": normal(500), "far": np.array([1e12])}, "x"))


def test_curves_with_and_without_errors():
    x = np.geomspace(0.1, 3, 9)
    plain = plots.curves({"a": (x, x), "b": (x, 2 * x)}, "x", "y")
    banded = plots.curves({"a": (x, x), "b": (x, 2 * x, 0.5 * x)}, "x", "y")
    logarithmic = plots.curves({"a": (x, x), "b": (x, 2 * x)}, "x", "y", log_x=True, log_y=True)
    for pixels in (plain, banded, logarithmic):
        assert_picture(pixels)
    assert num_colors(banded) > num_colors(plain) >= 2
    assert plain.shape == logarithmic.shape
    assert (plain != logarithmic).any()


def test_rows_of_images():
    """Pixels outside [0, 1] are clipped; the end of a short row is white."""
    black, white = np.full((3, 8, 8, 1), -2.0), np.full((4, 8, 8, 1), 9.0)
    counts = [
        (plots.image_rows({"one": black[:count], "two": white}) == 0).sum() for count in (1, 2, 3)
    ]
    # The labels are black too, in equal amount.
    assert np.diff(counts) == pytest.approx(counts[1] - counts[0], rel=0.1)
    assert counts[1] - counts[0] > 1_000
    red = np.broadcast_to([1.0, 0.0, 0.0], (3, 8, 8, 3))
    assert num_colors(plots.image_rows({"red": red})) == 1


def test_landscapes_show_low_energy_and_points():
    """On one scale, side by side; the points are white, and on the first landscape alone."""
    axis = np.linspace(0, 1, 21)
    bowl = 40 * ((axis[:, None] - 0.5) ** 2 + (axis - 0.5) ** 2)
    one = plots.landscapes({"one": bowl}, np.zeros((0, 2)))
    two = plots.landscapes({"one": bowl, "two": bowl}, np.zeros((0, 2)))
    pointed = plots.landscapes({"one": bowl, "two": bowl}, np.full((1, 2), 0.5))
    for pixels in (one, two, pointed):
        assert_picture(pixels)
    assert (two.shape[0], two.shape[1]) == (one.shape[0], 2 * one.shape[1])
    changed = np.flatnonzero((two != pointed).any((0, 2)))
    assert changed.min() > 0
    assert changed.max() < one.shape[1]
    # An energy counts from its minimum.
    higher = plots.landscapes({"one": bowl, "two": bowl + 1}, np.zeros((0, 2)))
    np.testing.assert_array_equal(higher, two)


def test_annealing_shows_both_directions():
    betas = np.linspace(0, 1, 5)[:-1]
    weights = {"up": normal(50), "down": normal(50, 1) + 3}
    differences = {"up": normal((50, 4)), "down": normal((50, 4), 2) + 10}
    swapped = {"up": differences["down"], "down": differences["up"]}
    both = [
        plots.annealing_plot(betas, shown, weights, "title") for shown in (differences, swapped)
    ]
    for pixels in both:
        assert_picture(pixels)
        assert num_colors(pixels) >= 2
    # The differences are on the right side.
    changed = np.flatnonzero((both[0] != both[1]).any((0, 2)))
    assert changed.min() > 0.5 * both[0].shape[1]
