"""The README's example of the package in Python."""

import re

import numpy as np

from tests.helpers.small_runs import ROOT


def run_example(replacements: dict[str, str]) -> dict[str, object]:
    """Runs the example with some of its text replaced; returns its variables.

    It loads the run `runs/digits` of the current folder.
    """
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    code = "\n".join(blocks)
    for old, new in replacements.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    return names


def assert_example(names: dict[str, object]) -> None:
    """Requires what the example says of its results."""
    samples, drawn, filled = (np.asarray(names[name]) for name in ("samples", "drawn", "filled"))
    images, mask = np.asarray(names["images"]), np.asarray(names["mask"])
    assert samples.shape == (16, 8, 8, 1)
    assert (drawn.shape, drawn.dtype) == ((16, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(filled[:, mask], images[:8][:, mask])
    assert np.shape(names["noise"]) == (4, 8, 8, 1)
