"""Wrong calls at length: every setting with every text that it may not be, each in a process."""

import json
import subprocess
import sys

import pytest

from tests.helpers.small_runs import ROOT, environment
from tests.helpers.wrong_calls import DEFAULTS, DIGITS, WRONG_CALLS, wrong_texts

FIELDS = [field for field in DEFAULTS if wrong_texts(field)]


def call_with(field: str, text: str) -> tuple[str, ...]:
    return (DIGITS, f"--config.{field}={text}")


@pytest.fixture(scope="module")
def answers():
    """What the program answered in each case, by its arguments."""
    calls = [call_with(field, text) for field in FIELDS for text in wrong_texts(field)]
    calls += [tuple(arguments) for arguments, _ in WRONG_CALLS]
    assert len(calls) > 1_000
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.refusals"],
        input="".join(json.dumps(call) + "\n" for call in calls),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    lines = done.stdout.splitlines()
    return {call: json.loads(line) for call, line in zip(calls, lines, strict=True)}


def assert_refused(answer: dict) -> str:
    """Asserts exit status 2, one line and no file written; returns the line."""
    shown = str(answer)[:1_000]
    assert answer["status"] == 2, shown
    (line,) = answer["stderr"].splitlines()
    assert line.startswith("tf_mdsm: "), shown
    assert len(line) < 1_000, shown
    assert answer["written"] == [], shown
    return line


@pytest.mark.parametrize("field", FIELDS)
def test_wrong_values_are_refused(field, answers):
    for text in wrong_texts(field):
        line = assert_refused(answers[call_with(field, text)])
        assert f"`config.{field}` must " in line, line
        assert "Received:" in line, line


def test_wrong_calls_are_refused(answers):
    for arguments, message in WRONG_CALLS:
        assert message in assert_refused(answers[tuple(arguments)])
