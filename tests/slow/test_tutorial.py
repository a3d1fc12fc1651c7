"""The tutorial, executed with few steps of training: every cell runs and says what it should."""

import re

import pytest

from tests.helpers.notebooks import execute, texts, variables
from tests.helpers.small_runs import ROOT

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

# What is replaced, each once in the whole notebook: a training that takes seconds.
SMALL = {
    "STEPS = 600": "STEPS = 60",
    '"evaluation.num_samples": 256': '"evaluation.num_samples": 64',
}


def test_every_cell_runs(tmp_path, monkeypatch):
    for name, value in variables(tmp_path).items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(ROOT / "docs" / "guide" / "tutorial.ipynb", as_version=4)
    for old, new in SMALL.items():
        (cell,) = (cell for cell in notebook.cells if old in cell.source)
        cell.source = cell.source.replace(old, new)
    execute(notebook, tmp_path, timeout=400)
    printed = "".join(texts(notebook))
    assert "(1797, 8, 8, 1) 0.0 1.0" in printed
    assert "step 60\n" in printed
    means = [float(mean) for mean in re.findall(r"(\d+\.\d) ± ", printed)]
    assert len(means) == 4
    assert means[3] > means[0]
    assert len(re.findall(r"noise \d\.\d, found \d\.\d\d", printed)) == 5
    assert "image 5 alone is the same: True" in printed
    assert len(re.findall(r"frechet_distance .* n = \d+", printed)) == 2
    assert float(printed.split("of 255:")[1]) <= 1
    pictures = [o for c in notebook.cells for o in c.get("outputs", []) if "data" in o]
    assert len(pictures) == 6
    assert (tmp_path / "runs/tutorial/evaluation/report.html").exists()
    assert (tmp_path / "served/1/saved_model.pb").exists()
