"""Which shapes fit a wanted one."""

import pytest

from tf_mdsm.system.shapes import fits


@pytest.mark.parametrize(
    ("shape", "wanted", "right"),
    [
        ((3, 4, 1), (3, 4, 1), True),
        ((3, 4, 1), (None, None, 1), True),
        ((3, 4, 3), (None, None, 1), False),
        ((3, 4), (3, 4, 1), False),
        ((0, 4, 1), (None, None, 1), False),
        ((3, 0, 1), (3, 0, 1), True),
        ((), (), True),
    ],
)
def test_every_size_is_the_wanted_one_or_free(shape, wanted, right):
    assert fits(shape, wanted) is right
