"""The README's example of the package in Python."""

import re

from tests.helpers.small_runs import ROOT


def run_example(replacements: dict[str, str]) -> dict[str, object]:
    """Runs the example with some of its text replaced; returns its variables."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    for old, new in replacements.items():
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    return names
