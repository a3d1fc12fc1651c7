"""The list of benchmarks and the command that runs one by its name."""

import pytest

from benchmarks.__main__ import FOLDERS, description, index, main
from tests.helpers.small_runs import ROOT

BENCHMARKS = [(folder, name) for folder, (_, names) in FOLDERS.items() for name in names]


@pytest.mark.parametrize(("folder", "name"), BENCHMARKS)
def test_the_index_describes_every_benchmark(folder, name):
    line = description(folder, name)
    assert "\n" not in line
    assert " Duration: " in line
    assert " Writes: " in line
    assert f"  {name:16} {line}" in index().splitlines()


def test_every_benchmark_is_listed():
    listed = {ROOT / "benchmarks" / folder / f"{name}.py" for folder, name in BENCHMARKS}
    modules = (ROOT / "benchmarks").glob("*/*.py")
    assert {path for path in modules if "\ndef main(argv" in path.read_text()} == listed


def test_the_command_lists_and_refuses(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out == f"{index()}\n"
    assert main(["speed"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "`NAME` must be one of steps, " in line


@pytest.mark.parametrize(("folder", "name"), BENCHMARKS)
def test_help(folder, name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out
