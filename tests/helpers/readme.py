"""Listings of pages; the examples in Python: the README's, and the guide's that continues it."""

import re

import numpy as np

from tests.helpers.small_runs import ROOT

_PAGES = ("README.md", "docs/guide/python.md")


def listings(text: str) -> list[str]:
    """The listings in Python of a page or a part of one."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run_examples(replacements: dict[str, str]) -> dict[str, object]:
    """Runs the README's example and the guide's with some text replaced; returns their variables.

    They load the run `runs/digits` of the current folder.
    """
    text = "\n".join((ROOT / page).read_text() for page in _PAGES)
    code = "\n".join(listings(text))
    for old, new in replacements.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    names = {}
    exec(compile(code, _PAGES[0], "exec"), names)  # noqa: S102
    return names


def assert_examples(names: dict[str, object]) -> None:
    """Requires what the examples say of their results."""
    samples, drawn, filled = (np.asarray(names[name]) for name in ("samples", "drawn", "filled"))
    images, mask = np.asarray(names["images"]), np.asarray(names["mask"])
    assert samples.shape == (16, 8, 8, 1)
    assert np.shape(names["clean"]) == images.shape
    assert (drawn.shape, drawn.dtype) == ((16, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(filled[:, mask], images[:8][:, mask])
    assert np.shape(names["noise"]) == (4, 8, 8, 1)
