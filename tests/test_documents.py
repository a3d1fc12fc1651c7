"""Documents: the README's example runs, links and commands exist, equations name functions."""

import importlib
import re

import pytest

from tests.helpers.readme import assert_examples, run_examples
from tests.helpers.small_runs import ROOT


@pytest.fixture
def example(small_run, tmp_path, monkeypatch):
    """The examples with a small network and few steps; no export is written."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "digits").symlink_to(small_run)
    monkeypatch.chdir(tmp_path)
    exported = []
    monkeypatch.setattr(
        "tf_mdsm.runs.export.write_saved_model",
        lambda served, folder, **_: exported.append(folder),
    )
    small = {
        '"unet", image_shape=(8, 8, 1), channels=24': '"dense", (8, 8, 1), channels=8',
        "epochs=50": "epochs=1",
    }
    return run_examples(small), exported


def test_the_examples_in_python_run(example):
    names, exported = example
    assert_examples(names)
    assert exported == ["served/1"]


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]


@pytest.mark.parametrize(
    "document",
    sorted(str(path.relative_to(ROOT)) for path in DOCUMENTS),
)
def test_links_and_commands_name_files_that_exist(document):
    text = (ROOT / document).read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / document).parent / link).exists(), f"{document}: {link}"
    # `tests/x/test_y.py` stands for any test of `tf_mdsm/x/y.py`.
    for name in re.findall(
        r"\b(?:configs|launch|benchmarks|tests(?!/x))/[a-z_/]+\.(?:py|sh)\b", text
    ):
        assert (ROOT / name).exists(), f"{document}: {name}"
    for name in re.findall(r"python -m ((?:tf_mdsm|tests)[a-z_.]*[a-z])", text):
        path = ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name
    for name in re.findall(r"python -m benchmarks ([a-z_]+)", text):
        assert list((ROOT / "benchmarks").glob(f"*/{name}.py")), f"{document}: {name}"
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_[a-z0-9_]+)`", text):
        assert f"def {name}(" in tests, f"{document}: {name}"


def test_functions_of_the_equations_exist():
    """Every function in WORKSPACE.md's table of equations is found under that name."""
    text = (ROOT / "WORKSPACE.md").read_text()
    table = text[text.index("## Equation → function") : text.index("## How to add")]
    names = re.findall(r"\| `([a-zA-Z0-9_.]+)` \|$", table, re.MULTILINE)
    assert len(names) == len(re.findall(r"^\| (?!equation|---)", table, re.MULTILINE))
    for name in names:
        parts = name.split(".")
        depth = next(
            i for i in range(1, len(parts)) if not parts[i].islower() or i == len(parts) - 1
        )
        found = importlib.import_module("tf_mdsm." + ".".join(parts[:depth]))
        for part in parts[depth:]:
            found = getattr(found, part)
        assert found is not None
