"""Documents: examples run, links and commands exist, generated pages are current, and the like."""

import importlib
import re

import pytest

from docs.generate import pages
from tests.helpers.documented_commands import (
    DOCUMENTS,
    documented_commands,
    is_tried_as,
    tried_commands,
)
from tests.helpers.readme import assert_examples, run_examples
from tests.helpers.small_runs import ROOT
from tf_mdsm.config import default_config
from tf_mdsm.config.rules import flatten


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
    assert exported == ["served/export/1"]


def anchors(page: str) -> set[str]:
    """The names by which links reach the headings of a page, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", page, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "document",
    sorted(str(path.relative_to(ROOT)) for path in DOCUMENTS),
)
def test_links_and_commands_name_files_that_exist(document):
    text = (ROOT / document).read_text()
    for link, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", text):
        path = (ROOT / document).parent / link if link else ROOT / document
        assert path.exists(), f"{document}: {link}"
        assert not anchor or anchor in anchors(path.read_text()), f"{document}: {link}#{anchor}"
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
    table = text[text.index("## Equation → function") : text.index("## From data to samples")]
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


def test_the_generated_pages_are_current():
    for page, text in pages().items():
        assert (ROOT / page).read_text() == text, f"{page}: run python -m docs.generate"


def test_every_setting_has_its_section():
    page = (ROOT / "docs/reference/settings.md").read_text()
    sections = re.findall(r"^### `(\S+)`\n\n(.*)\n", page, re.MULTILINE)
    names = [name for name, _ in sections]
    assert sorted(names) == sorted(flatten(default_config()))
    assert all(meaning for _, meaning in sections)


def test_every_document_is_in_the_lists():
    """The site's navigation and the index of pages; the first screen is short."""
    site, index = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs/index.md").read_text()
    for path in ROOT.glob("docs/**/*.md"):
        page = path.relative_to(ROOT / "docs").as_posix()
        assert f": {page}\n" in site
        in_results = page.startswith("results/") and page != "results/index.md"
        assert in_results or page == "index.md" or f"]({page})" in index, page
    results = (ROOT / "docs/results/index.md").read_text()
    for path in ROOT.glob("docs/results/*.md"):
        assert path.name == "index.md" or f"]({path.name}" in results, path.name
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_every_command_is_tried_or_says_why_not():
    tried, commands = tried_commands(), documented_commands()
    assert len(commands) > 60
    for command in commands:
        assert any(is_tried_as(command, start) for start in tried), command
    for start, test in tried.items():
        assert any(is_tried_as(command, start) for command in commands), f"no command: {start}"
        assert re.search(r"\]\(\.\./\.\./tests/|the same|no test: |every run", test.lower()), start
