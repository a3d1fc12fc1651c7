"""The README's example runs as it stands there, with fewer steps."""

import re

from small_runs import ROOT


def test_the_ten_lines_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    shorter = code.replace("steps_per_epoch=1_000", "steps_per_epoch=5")
    shorter = shorter.replace("annealing_temperatures()", "annealing_temperatures(4.0, 2, 3, 2)")
    assert shorter.count("steps_per_epoch=5") == shorter.count("(4.0, 2, 3, 2)") == 1
    names = {}
    exec(compile(shorter, "README.md", "exec"), names)  # noqa: S102
    assert names["samples"].shape == (16, 8, 8, 1)


def test_links_and_commands_name_files_that_exist():
    for document in ("README.md", "WORKSPACE.md"):
        text = (ROOT / document).read_text()
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / link).exists(), f"{document}: {link}"
        for name in re.findall(r"(?:configs|launch|tests)/[a-z_]+\.(?:py|sh)", text):
            assert (ROOT / name).exists(), f"{document}: {name}"
