"""Painting on masks."""

import re

import numpy as np
import pytest

from tf_mdsm.demo.masks import lower_half_hidden, mask_overlay, painted


def test_the_lower_half_is_hidden():
    assert lower_half_hidden(5, 3).sum() == 2 * 3


@pytest.mark.parametrize(
    ("brush", "rows", "columns"),
    [(1, [2], [5]), (2, [2, 3], [5, 6]), (3, [1, 2, 3], [4, 5, 6])],
)
def test_a_touch_changes_a_square_around_its_pixel(brush, rows, columns):
    mask = np.ones((8, 8), bool)
    touched = painted(mask, 5.9 * 40, 2.1 * 40, scale=40, brush=brush, known=False)
    assert mask.all()
    assert [*np.flatnonzero(~touched.all(1))] == rows
    assert [*np.flatnonzero(~touched.all(0))] == columns
    back = painted(touched, 5.9 * 40, 2.1 * 40, scale=40, brush=brush, known=True)
    assert back.all()


@pytest.mark.parametrize("place", [(-100, 5), (5, -100), (1e4, 1e4)])
def test_a_touch_outside_changes_nothing(place):
    assert painted(np.ones((8, 8), bool), *place, scale=40, brush=3, known=False).all()


def test_the_border_is_reached():
    touched = painted(np.ones((4, 4), bool), 1, 1, scale=10, brush=3, known=False)
    assert (~touched).sum() == 4


def test_rectangles_cover_exactly_what_is_hidden():
    mask = np.random.default_rng(0).random((6, 5)) < 0.5
    covered = np.ones_like(mask)
    numbers = re.findall(
        r'x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"', mask_overlay(mask, scale=7)
    )
    for x, y, width, height in ((int(n) // 7 for n in four) for four in numbers):
        assert height == 1
        assert covered[y, x : x + width].all()
        covered[y, x : x + width] = False
    np.testing.assert_array_equal(covered, mask)
    assert mask_overlay(np.ones((3, 3), bool), scale=7) == ""
