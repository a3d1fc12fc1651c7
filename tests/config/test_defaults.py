"""The defaults: every setting has its meaning written above it."""

import pathlib
import re

from tf_mdsm.config import default_config, defaults
from tf_mdsm.config.rules import flatten


def test_every_setting_has_a_comment_of_whole_sentences():
    """The comment directly above a setting is its documentation."""
    lines = pathlib.Path(defaults.__file__).read_text().splitlines()
    commented = 0
    for number, line in enumerate(lines):
        if not re.match(r"    \w+\.\w+ = [^_]", line):
            continue
        end = number
        while lines[number - 1].startswith("    # "):
            number -= 1
        comment = " ".join(text.removeprefix("    # ") for text in lines[number:end])
        assert re.match(r"[A-Z\"0-9]|\w+(, \w+)*: ", comment), (line, comment)
        assert comment.endswith((".", ".)")), (line, comment)
        assert "…" not in comment.replace(", …", ""), (line, comment)
        commented += 1
    assert commented == len(flatten(default_config()))
