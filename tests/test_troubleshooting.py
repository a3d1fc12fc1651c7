"""The page of troubleshooting: every error of the program has a line that says what to do."""

import re

from tests.helpers.error_sentences import ANY, error_sentences
from tests.helpers.small_runs import ROOT
from tf_mdsm.config.ranges import CHOICES, INTERVALS, OTHER_CHECKS


def table_rows() -> list[tuple[str, str]]:
    """Message and advice of each line of the page's tables."""
    page = (ROOT / "docs/guide/troubleshooting.md").read_text()
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", page, re.MULTILINE)
    return [(message, advice) for message, advice in rows if message not in ("message", "---")]


def pattern_of(message: str) -> re.Pattern:
    """Matches the sentences that a message of the page stands for.

    `config.data.path` also stands for `data.path` and `path`, as functions name it that know no
    group.
    """
    text = re.sub(r"\\(.)", r"\1", message)
    field = re.match(r"`([a-z_.]+)\.([a-z_0-9]+)`", text)
    start = ""
    if field is not None:
        groups = field[1].split(".")
        optional = "".join("(?:" + re.escape(group) + r"\." for group in groups)
        start, text = "`" + optional + ")?" * len(groups) + field[2] + "`", text[field.end() :]
    return re.compile(start + ".*".join(map(re.escape, text.split(ANY))), re.DOTALL)


def test_every_error_has_a_line():
    patterns = [pattern_of(message) for message, _ in table_rows()]
    sentences = error_sentences()
    assert len(sentences) > 400
    missing = [
        f"{sentence.place}: {sentence.text}"
        for sentence in sentences
        if not any(pattern.fullmatch(sentence.text) for pattern in patterns)
    ]
    assert not missing, "\n".join(missing)


def test_every_setting_outside_its_range_has_a_line():
    patterns = [pattern_of(message) for message, _ in table_rows()]
    requirements = {name: f"be one of {', '.join(words)}" for name, words in CHOICES.items()}
    requirements |= {name: interval.requirement for name, interval in INTERVALS.items()}
    requirements |= {name: requirement for name, (requirement, _) in OTHER_CHECKS.items()}
    for name, requirement in requirements.items():
        sentence = f"`config.{name}` must {requirement}"
        assert any(pattern.fullmatch(sentence) for pattern in patterns), sentence


def test_every_line_has_an_error_and_an_advice():
    sentences = [sentence.text for sentence in error_sentences()]
    general = ("must be left empty", "must name a split", "must be all, or", "one or more", "1, 2")
    general += ("an integer", "a finite number", "true or false", "text")
    for message, advice in table_rows():
        assert advice.endswith("."), message
        is_used = any(pattern_of(message).fullmatch(sentence) for sentence in sentences)
        assert is_used or any(words in message for words in general), f"no error: {message}"
