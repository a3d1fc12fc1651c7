"""Lines on standard output: other encodings, closed readers, full disks."""

import os
import subprocess
import sys

import pytest

from tests.helpers.small_runs import ROOT

PROGRAM = (
    "from tf_mdsm.system.stdout import print_lines; print_lines(['é1', '\\udce9', *range({})])"
)


def print_in_process(count: int, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.format(count)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        **options,
    )


def test_characters_that_the_encoding_lacks_are_escaped():
    result = print_in_process(1, stdout=subprocess.PIPE)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "\\xe91\n\\udce9\n0\n"


@pytest.mark.parametrize("count", [1, 1_855, 2_000, 100_000])
def test_a_closed_reader_is_no_failure(count):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        result = print_in_process(count, stdout=closed)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_full_disk_is_reported_once():
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = print_in_process(1, stdout=full)
    assert result.returncode == 1
    assert result.stderr.count("No space left on device") == 1
